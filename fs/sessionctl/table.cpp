#include "fs/sessionctl/table.hpp"

#include <algorithm>

namespace sessionfs::ctl {

std::vector<std::string> table_lines(const std::vector<Cells>& rows) {
  std::vector<std::size_t> widths(rows.empty() ? 0 : rows.front().size());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], row.at(i).size());
  std::vector<std::string> lines;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const bool last = i + 1 == widths.size();
      line += "  " + row[i] + std::string(last ? 0 : widths[i] - row[i].size(), ' ');
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace sessionfs::ctl
