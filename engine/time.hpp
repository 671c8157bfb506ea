// Time, as the engine sees it: an argument.
#pragma once

#include <chrono>

namespace sessionfs {

using Duration = std::chrono::nanoseconds;

/// Nanoseconds since any fixed moment, never going back (the driver's steady clock, or a simulator's virtual one).
using Time = std::chrono::nanoseconds;

}  // namespace sessionfs
