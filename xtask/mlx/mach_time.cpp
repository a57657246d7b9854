// mlx-rs seeds its random numbers with this clock of macOS.

#include <chrono>
#include <cstdint>

extern "C" uint64_t mach_approximate_time() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}
