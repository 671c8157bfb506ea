// The sessions as a table that takes the room there is: in a narrow one names are cut and columns left out, in a wide
// one there are more columns.
#pragma once

#include <span>

#include "fs/sessionctl/top/flows.hpp"
#include "fs/sessionctl/top/line.hpp"

namespace sessionfs::ctl {

class FlowTable {
 public:
  /// `flows`, all of them, decide how wide the columns are; they outlive this.
  FlowTable(std::span<const Flow> flows, std::size_t columns, const Signs& signs);

  [[nodiscard]] Line heading() const;
  /// A selected one is in that style from edge to edge.
  [[nodiscard]] Line row(const Flow& flow, bool is_selected) const;

 private:
  void choose(std::span<const Flow> flows);
  void fit();

  std::size_t columns_;
  const Signs* signs_;
  std::size_t gap_ = 0;
  std::vector<std::size_t> widths_;  // of each column there is; 0: left out
};

/// The style in which a state is shown.
Style style_of(const SessionReport& session);

}  // namespace sessionfs::ctl
