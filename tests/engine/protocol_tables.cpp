// Prints the state machine as the protocol's document shows it: the table of transitions, and the diagram of states.
#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "engine/transitions.hpp"

namespace {

using sessionfs::Transition;

std::vector<Transition> by_number() {
  std::vector<Transition> rows(sessionfs::transitions().begin(), sessionfs::transitions().end());
  std::ranges::sort(rows, {}, &Transition::number);
  return rows;
}

void print_table() {
  std::cout << "| T | in | when | then | and |\n| --- | --- | --- | --- | --- |\n";
  for (const auto& row : by_number())
    std::cout << "| " << int{row.number} << " | " << name_of(row.state) << " | `" << name_of(row.event) << "` | "
              << (row.next == row.state ? "stays" : name_of(row.next)) << " | `" << name_of(row.step) << "` |\n";
}

void print_diagram() {
  std::map<std::pair<std::string, std::string>, std::string> arrows;
  for (const auto& row : by_number()) {
    auto& label = arrows[{std::string(name_of(row.state)), std::string(name_of(row.next))}];
    label += (label.empty() ? "T" : " T") + std::to_string(row.number);
  }
  std::cout << "```mermaid\nstateDiagram-v2\n  [*] --> CONNECTING: its creator\n  [*] --> ACTIVE: its acceptor\n";
  for (const auto& [states, label] : arrows)
    std::cout << "  " << states.first << " --> " << states.second << ": " << label << '\n';
  std::cout << "```\n";
}

}  // namespace

int main() {
  std::cout << "== transitions\n";
  print_table();
  std::cout << "== diagram\n";
  print_diagram();
}
