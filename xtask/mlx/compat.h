/* Included before every mlx-c file, and before its headers when the Rust bindings are made.

   mlx-c is written for Apple's compilers: it declares the half-precision accessors, which mlx-rs calls, on Arm only,
   and uses std::format without including it. */

#ifndef POCKETMLX_COMPAT_H
#define POCKETMLX_COMPAT_H

#define HAS_FLOAT16
#define HAS_BFLOAT16

#ifdef __cplusplus

#include <mlx/types/half_types.h>

using float16_t = mlx::core::float16_t;
using bfloat16_t = mlx::core::bfloat16_t;

#if __has_include(<format>)
#include <format>
#else
/* gcc 12 has no <format>. mlx-c uses nothing but "{}". */
#include <sstream>
#include <string>
#include <string_view>

namespace std {

template <typename... Args>
string format(string_view pattern, const Args&... args) {
  ostringstream out;
  [[maybe_unused]] auto put = [&](const auto& arg) {
    auto hole = pattern.find("{}");
    if (hole != string_view::npos) {
      out << pattern.substr(0, hole) << arg;
      pattern.remove_prefix(hole + 2);
    }
  };
  (put(args), ...);
  out << pattern;
  return out.str();
}

} // namespace std
#endif

#else /* the bindings: what bindgen turns into mlx-rs's f16, and bf16 as its bits */

typedef _Float16 float16_t;
typedef unsigned short bfloat16_t;

#endif
#endif
