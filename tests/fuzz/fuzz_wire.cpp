// The session protocol's frames, as a connection brings them.
//
// input: 1 byte, the size of the pieces in which the stream comes (0: 256); the stream
#include <vector>

#include "engine/wire.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {
namespace {

// The service name in CONNECT is folded to lower case; all else has one form only.
void require_canonical(const Message& message, Bytes as_it_came) {
  const Frame frame(message);
  require(frame.bytes().size() <= Frame::max_bytes, "a frame keeps its limit");
  const bool same = std::holds_alternative<Connect>(message)
                        ? folded(text_of(frame.bytes())) == folded(text_of(as_it_came))
                        : std::ranges::equal(frame.bytes(), as_it_came);
  require(same, "a message is encoded as it came");
}

// What the reader made of a stream, in one form for every way to cut it.
struct Reading {
  std::vector<std::byte> events;
  std::uint64_t data_end = 0;  // where the last event, if it was data, ended
  bool in_data = false;
  bool violated = false;

  void add(const Message& message) {
    const Frame frame(message);
    events.insert(events.end(), frame.bytes().begin(), frame.bytes().end());
    in_data = false;
  }
  void add(const FrameReader::DataPart& part) {
    require(!part.bytes.empty() && part.bytes.size() <= max_data_bytes, "a part of DATA has a size that is allowed");
    if (!in_data || part.offset != data_end) {
      const auto header = data_header(part.offset, 1);
      events.insert(events.end(), header.begin(), header.end());
    }
    events.insert(events.end(), part.bytes.begin(), part.bytes.end());
    data_end = part.offset + part.bytes.size();
    in_data = true;
  }
};

Reading read_in_pieces(Bytes stream, std::size_t piece_bytes) {
  Reading reading;
  FrameReader reader;
  while (!stream.empty()) {
    Bytes piece = stream.first(std::min(piece_bytes, stream.size()));
    stream = stream.subspan(piece.size());
    while (true) {
      const Bytes before = piece;
      const auto event = reader.next(piece);
      require(piece.size() <= before.size() && piece.data() + piece.size() == before.data() + before.size(),
              "what is taken is taken from the front");
      if (std::holds_alternative<FrameReader::NeedMore>(event)) {
        require(piece.empty(), "more is asked for only when all was taken");
        break;
      }
      if (std::holds_alternative<FrameReader::Violation>(event)) {
        reading.violated = true;
        return reading;
      }
      if (const auto* part = std::get_if<FrameReader::DataPart>(&event)) reading.add(*part);
      if (const auto* message = std::get_if<Message>(&event)) {
        reading.add(*message);
        if (piece_bytes >= max_data_bytes) require_canonical(*message, before.first(before.size() - piece.size()));
      }
    }
  }
  return reading;
}

void require_bounded(Bytes stream) {
  const std::size_t size = stream.size();
  const AllocationMeter meter;
  FrameReader reader;
  while (true) {
    const auto event = reader.next(stream);
    if (std::holds_alternative<FrameReader::NeedMore>(event)) break;
    if (std::holds_alternative<FrameReader::Violation>(event)) break;
  }
  require(meter.bytes() <= 16 * size + 4096, "reading allocates no more than the input explains");
}

void fuzz_stream(Bytes input) {
  Choices choices(input);
  const std::size_t piece_bytes = choices.byte();
  const Bytes stream = choices.rest();
  require_bounded(stream);
  const Reading whole = read_in_pieces(stream, std::max(stream.size(), max_data_bytes));
  for (const std::size_t size : {piece_bytes == 0 ? std::size_t{256} : piece_bytes, std::size_t{1}}) {
    const Reading cut = read_in_pieces(stream, size);
    require(cut.events == whole.events && cut.violated == whole.violated, "cuts in a stream change nothing");
  }
}

// One payload alone, whatever its frame would say of its size.
void fuzz_payload(Bytes input) {
  if (input.empty()) return;
  const auto type = static_cast<MessageType>(input[0]);
  const auto message = decode(type, input.subspan(1));
  if (!message) return;
  const Frame frame(*message);
  require(frame.bytes()[0] == input[0], "a message keeps its type");
  const auto again = decode(type, frame.bytes().subspan(frame_header_bytes));
  require(again && std::ranges::equal(Frame(*again).bytes(), frame.bytes()), "decode(encode(x)) is x");
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = sessionfs::fuzz::input_of(data, size);
  sessionfs::fuzz::fuzz_stream(input);
  sessionfs::fuzz::fuzz_payload(input);
  return 0;
}
