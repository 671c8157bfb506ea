#include "tests/sim/storm_travel.hpp"

namespace sessionfs::test {

void Travels::fault() {
  std::set<EndpointName> names;
  for (const auto& flow : flows_.flows)
    for (const auto& end : flow->ends) names.insert(end.name);
  const EndpointName name =
      *std::next(names.begin(), static_cast<std::ptrdiff_t>(world_.random.between(0, names.size() - 1)));
  const std::size_t from = world_.residence(name);
  if (carried_.contains(name) || from >= world_.nodes.size() || !world_.nodes[from]->host) return;
  if (world_.random.chance(30)) return save(name, from);
  if (copies_.contains(name)) return load(name, from);
  copies_.emplace(name, flows_.copy(from, name));
}

void Travels::save(const EndpointName& name, std::size_t from) {
  auto left = flows_.leave(from, name);
  if (!left) return;
  ++tally_.travels;
  carried_.emplace(name, std::move(*left));
  world_.after(milliseconds(world_.random.between(0, 10000)), [this, name] { arrive(name); });
}

void Travels::arrive(const EndpointName& name) {
  const auto carried = carried_.find(name);
  if (carried == carried_.end()) return;
  const std::size_t to = world_.random.between(0, world_.nodes.size() - 1);
  if (world_.nodes[to]->endpoints.contains(name)) drop(to, name);
  const auto copy = std::move(carried->second);
  carried_.erase(carried);
  flows_.arrive(copy, to, false);
}

void Travels::load(const EndpointName& name, std::size_t from) {
  std::size_t to = from;
  for (std::size_t i = 0; i < world_.nodes.size(); ++i)
    if (!world_.nodes[i]->endpoints.contains(name)) to = i;
  if (to == from) return;
  if (world_.random.chance(40)) {
    const auto latest = flows_.leave(from, name);
    if (!latest) return;
    ++tally_.handoffs;
    copies_.erase(name);
    return flows_.arrive(*latest, to, false);
  }
  ++tally_.stale;
  flows_.arrive(copies_.at(name), to, true);
  if (world_.random.chance(60)) copies_.erase(name);  // else it is loaded once more
  formers_.emplace(from, name);
  world_.after(milliseconds(world_.random.between(0, 20000)), [this, from, name] { drop(from, name); });
}

void Travels::drop(std::size_t node, const EndpointName& name) {
  if (formers_.erase({node, name}) > 0) world_.drop(node, name);
}

void Travels::calm() {
  for (const auto& [node, name] : std::exchange(formers_, {})) world_.drop(node, name);
  while (!carried_.empty()) arrive(EndpointName(carried_.begin()->first));
}

}  // namespace sessionfs::test
