// Endpoints that travel while everything else fails: saved and loaded, copied and loaded, with and without a handoff.
#pragma once

#include <map>
#include <set>
#include <utility>

#include "tests/sim/flow.hpp"
#include "tests/sim/storm.hpp"

namespace sessionfs::test {

class Travels {
 public:
  Travels(World& world, Flows& flows, Tally& tally) : world_(world), flows_(flows), tally_(tally) {}

  /// One endpoint leaves, is copied, or is loaded from a copy.
  void fault();
  /// Whatever is carried arrives, and former residences learn that they are.
  void calm();

 private:
  void save(const EndpointName& name, std::size_t from);
  void load(const EndpointName& name, std::size_t from);
  void arrive(const EndpointName& name);
  void drop(std::size_t node, const EndpointName& name);

  World& world_;
  Flows& flows_;
  Tally& tally_;
  std::map<EndpointName, Flows::Copy> carried_;  // who resides nowhere
  std::map<EndpointName, Flows::Copy> copies_;
  std::set<std::pair<std::size_t, EndpointName>> formers_;
};

}  // namespace sessionfs::test
