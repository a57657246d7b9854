//! The machine's memory.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

fn read() -> Option<System> {
    System::new_with_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram())).ok()
}

/// Bytes of memory in the machine, or what a container allows; 0 when it can't be told.
pub(super) fn total() -> u64 {
    let Some(system) = read() else { return 0 };
    match system.cgroup_limits() {
        Some(limits) if limits.total_memory > 0 => limits.total_memory.min(system.total_memory()),
        _ => system.total_memory(),
    }
}

/// Bytes that the models of an engine may take by default.
pub(super) fn default_limit() -> u64 {
    match total() {
        0 => u64::MAX,
        total => total / 5 * 4,
    }
}

/// Bytes that could be taken now without swapping; 0 when it can't be told.
pub(super) fn available() -> u64 {
    read().map_or(0, |system| system.available_memory())
}
