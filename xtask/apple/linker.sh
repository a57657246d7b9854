#!/bin/sh
# Zig as the linker that rustc calls for macOS.
for arg; do
    shift
    case $arg in
        # Part of libSystem, for which Zig has no file.
        -liconv) ;;
        # rustc's list of exports names those of every crate; ours comes below.
        -Wl,-exported_symbols_list,*|-Wl,-exported_symbols_list) ;;
        *) set -- "$@" "$arg" ;;
    esac
done
exec "@ZIG@" cc -target aarch64-macos.14.0 "$@" -Wl,-install_name,"$POCKETMLX_INSTALL_NAME" \
    -Wl,-exported_symbols_list,"$POCKETMLX_EXPORTS"
