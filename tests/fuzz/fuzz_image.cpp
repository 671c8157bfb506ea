// The stored state of a session: what is decoded is possible, and a session goes on from it.
//
// input: 1 byte, the size of the buffers; the image without its checksum, which is made here. Also taken as it is.
#include <array>

#include "engine/bytes.hpp"
#include "engine/image.hpp"
#include "tests/fuzz/host_driver.hpp"

namespace sessionfs::fuzz {
namespace {

constexpr std::array<std::size_t, 4> capacities = {1, 16, 4096, 65536};

// The session meets its peer again, which holds what it has announced, and both sides end.
void go_on(const SessionImage& image, std::size_t capacity) {
  HostDriver driver(capacity);
  if (!driver.restore(image)) return;
  for (int round = 0; round < 3 && !driver.conns().empty(); ++round) {
    const auto session = driver.streams().empty() ? nullptr : driver.streams().begin()->second.session;
    if (!session) return;
    const ConnId conn = driver.conns().rbegin()->first;
    if (driver.conns().at(conn).dialling) driver.dial_answered(conn);
    const auto& sent = session->send_buffer();
    driver.feed(conn, ResumeOk{session->image().peer_generation,
                               1,
                               {sent.acked(), sent.written(), false, false},
                               session->image().generation});
    driver.feed_data(conn, session->recv_buffer().received(), 10, std::byte{1});
    driver.read(session, 5, HostDriver::Reader::takes_it);
    driver.write(session, 100);
    driver.with([&](Host& host, Time now) { host.close(*session, now); });
    driver.feed(conn, Finish{session->recv_buffer().received()});
    driver.advance(std::chrono::seconds(20));
  }
  driver.restart(false);
}

void fuzz(Bytes bytes, std::size_t capacity) {
  const AllocationMeter meter;
  const auto image = decode_session_image(bytes, capacity);
  require(meter.bytes() <= 64 * bytes.size() + 4096, "decoding allocates no more than the input explains");
  if (!image) return;
  require(!image->file_name.empty() &&
              std::ranges::all_of(image->file_name, [](char c) { return c > ' ' && c < 0x7f && c != '/'; }),
          "a session's file name is one");
  const auto encoded = encode(*image);
  require(encoded.size() <= max_image_bytes, "an image keeps its limit");
  const auto again = decode_session_image(encoded, capacity);
  require(again && encode(*again) == encoded, "decode(encode(x)) is x");
  for (std::size_t at = 0; at < encoded.size(); ++at) {
    auto damaged = encoded;
    damaged[at] ^= std::byte{0x10};
    require(!decode_session_image(damaged, capacity), "a damaged image is refused");
    require(!decode_session_image(Bytes(encoded).first(at), capacity), "a truncated image is refused");
  }
  go_on(*image, capacity);
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sessionfs::fuzz;
  Choices choices(input_of(data, size));
  const std::size_t capacity = capacities[choices.index(capacities.size())];
  auto bytes = copy_of(choices.rest());
  fuzz(bytes, capacity);
  sessionfs::ByteWriter(bytes).number(sessionfs::checksum(bytes));
  fuzz(bytes, capacity);
  return 0;
}
