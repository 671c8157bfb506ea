// The transitions of sessions as they happen.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "fs/sessionctl/tree.hpp"

namespace sessionfs::ctl {

/// Whose transitions are of interest; nothing: everybody's.
struct TraceChoice {
  std::optional<std::string> session;
  std::optional<std::string> endpoint;

  /// Whether a line of `trace` is about them. What is about no session is of interest always.
  [[nodiscard]] bool has(std::string_view line) const;
};

/// Prints each line when it comes, until somebody asks this program to end, or nobody reads its output any more. While
/// there is no daemon it waits for the next one. Throws Error.
void trace(const Tree& tree, const TraceChoice& choice);

}  // namespace sessionfs::ctl
