// Rows of cells as lines of text.
#pragma once

#include <string>
#include <vector>

namespace sessionfs::ctl {

using Cells = std::vector<std::string>;

/// A line for each row, with each cell but the last one as wide as the widest of its column. The rows have as many
/// cells as the first one. A character is a byte.
std::vector<std::string> table_lines(const std::vector<Cells>& rows);

}  // namespace sessionfs::ctl
