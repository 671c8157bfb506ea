// Applications that go on where their endpoint does, and what they must never read then.
#include "engine/record.hpp"
#include "tests/sim/flow.hpp"

namespace sessionfs::test {

void Flow::take(std::size_t reader, std::byte byte) {
  FlowEnd& end = ends[reader];
  const auto& texts = ends[1 - reader].texts;
  const std::uint64_t offset = end.seen.size();
  end.seen.push_back(byte);
  for (std::size_t i = 0; i < texts.size(); ++i) end.candidates[i] = end.candidates[i] && texts[i].at(offset) == byte;
}

void Flow::see_again(std::size_t reader, std::uint64_t offset) {
  FlowEnd& end = ends[reader];
  const Bytes seen(end.seen.begin(), end.seen.begin() + static_cast<std::ptrdiff_t>(offset));
  end.seen.clear();
  end.candidates.assign(ends[1 - reader].texts.size(), true);
  for (const std::byte byte : seen) take(reader, byte);
}

// From a copy: a residence that has gone on since is another one's.
void Flows::go_on(Flow& flow, std::size_t index, const SessionImage* image, const Text& text) {
  FlowEnd& end = flow.ends[index];
  end.session.reset();
  flow.may_fail = true;  // the other side may have gone on with the former residence, or begin with it
  if (!flow.started) return;
  end.closed = end.creator && (image == nullptr || image->connecting || image->detached);
  end.read = end.before = image != nullptr ? image->received.read : 0;
  end.written = image != nullptr ? image->sent.written : 0;
  end.final_offset = image != nullptr ? image->end : std::nullopt;
  end.reading = 0;
  end.saw_end = end.aborted = false;
  end.failure = Failure::none;
  Text next;
  for (const auto& [from, salt] : text.salts)
    if (from < end.written) next.salts[from] = salt;
  next.salts[end.written] = flow.salt(index) + 1000 * end.texts.size();
  end.texts.push_back(next);
  flow.see_again(index, std::min<std::uint64_t>(end.read, end.seen.size()));
  flow.see_again(1 - index, flow.ends[1 - index].seen.size());
}

Flows::Copy Flows::copy(std::size_t node, const EndpointName& name) const {
  Copy copy{name, world_.record_at(node, name), {}};
  for (const auto& flow : flows)
    for (const std::size_t i : {0U, 1U}) copy.texts[{flow.get(), i}] = flow->ends[i].texts.back();
  return copy;
}

std::optional<Flows::Copy> Flows::leave(std::size_t node, const EndpointName& name) {
  auto record = world_.leave(node, name);
  if (!record) return std::nullopt;
  Copy copy{name, std::move(*record), {}};
  for (auto& flow : flows)
    for (const std::size_t i : {0U, 1U}) {
      FlowEnd& end = flow->ends[i];
      if (end.node != node || end.name != name) continue;
      copy.texts[{flow.get(), i}] = end.texts.back();
      if (end.creator && flow->started && !flow->stood) flow->may_fail = true;
      end.session.reset();
    }
  return copy;
}

void Flows::arrive(const Copy& copy, std::size_t to, bool stale) {
  const auto record = decode_endpoint_record(copy.record);
  ASSERT_TRUE(record);
  if (stale) world_.storage_goes_back = true;
  for (auto& flow : flows)
    for (const std::size_t i : {0U, 1U}) {
      FlowEnd& end = flow->ends[i];
      if (end.name != copy.name) continue;
      end.node = to;
      if (!stale) continue;
      const auto found = std::ranges::find_if(record->sessions, [&](const SessionRecord& session) {
        return session.image.id == flow->id && session.image.creator == end.creator;
      });
      const auto text = copy.texts.find({flow.get(), i});
      go_on(*flow, i, found == record->sessions.end() ? nullptr : &found->image,
            text == copy.texts.end() ? Text(end.texts.front()) : text->second);
    }
  world_.arrive(to, copy.record);
  restarted(to);
}

bool Flows::share_a_channel(const FlowEnd& one, const FlowEnd& other) const {
  if (!one.session || !other.session || !one.session->flows() || !other.session->flows()) return false;
  const auto& conns = world_.nodes[one.node]->conns;
  const auto found = conns.find(one.session->channel());
  if (found == conns.end() || !found->second.first) return false;
  const auto& [pipe, mine] = found->second;
  const Pipe::Side& side = pipe->sides[1 - mine];
  return side.open && side.node == other.node && side.conn == other.session->channel();
}

}  // namespace sessionfs::test
