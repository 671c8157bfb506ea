// fuzz_make_corpus FOLDER: see make_corpus.hpp. Here the engine's seeds.
#include "tests/fuzz/make_corpus.hpp"

#include <filesystem>
#include <fstream>

#include "engine/image.hpp"
#include "engine/record.hpp"
#include "tests/fuzz/host_script.hpp"

namespace sessionfs::fuzz {
namespace {

constexpr SessionId id{{1, 2, 3}};

std::vector<std::pair<const char*, Message>> messages() {
  const Progress progress{100, 4196, true, false};
  return {{"connect", Connect{protocol_version, id, 7, 4096, "file"}},
          {"connect_ok", ConnectOk{7, 4096, 1}},
          {"connect_denied", ConnectDenied{ConnectDenial::backlog_full}},
          {"checkpoint", Checkpoint{progress}},
          {"finish", Finish{100}},
          {"close", Close{100}},
          {"suspend", Suspend{}},
          {"resume", Resume{protocol_version, id, 7, 1, true, progress, 3}},
          {"resume_ok", ResumeOk{7, 1, progress, 3}},
          {"resume_denied", ResumeDenied{ResumeDenial::closed, 100, 200, 7}},
          {"ping", Ping{}},
          {"abort", Abort{}},
          {"handoff", Handoff{protocol_version, 8}},
          {"handoff_ok", HandoffOk{7, 4096}},
          {"handoff_denied", HandoffDenied{HandoffDenial::busy, 7}},
          {"handoff_taken", HandoffTaken{}}};
}

std::vector<std::byte> data_frame(std::uint64_t offset, std::string_view text) {
  const auto header = data_header(offset, text.size());
  std::vector<std::byte> frame(header.begin(), header.end());
  frame.insert(frame.end(), bytes_of(text).begin(), bytes_of(text).end());
  return frame;
}

void make_wire_seeds(Corpus& corpus) {
  std::vector<std::byte> all;
  for (const auto& [name, message] : messages()) {
    const Frame frame(message);
    corpus.add("wire", name, joined({3}, frame.bytes()));
    all.insert(all.end(), frame.bytes().begin(), frame.bytes().end());
  }
  const auto data = data_frame(4096, "some bytes of a stream");
  corpus.add("wire", "data", joined({5}, data));
  all.insert(all.end(), data.begin(), data.end());
  corpus.add("wire", "all", joined({7}, all));
  auto two = data;
  const auto next = data_frame(4096 + 22, "and the next");
  two.insert(two.end(), next.begin(), next.end());
  corpus.add("wire", "data_twice", joined({16}, two));
}

SessionImage image() {
  SessionImage image;
  image.id = id;
  image.local = EndpointName::parse("bob@work.test").value();
  image.peer = EndpointName::parse("alice@home.test").value();
  image.service = "file";
  image.file_name = "file~alice@home.test~1";
  image.accepted = true;
  image.generation = 3;
  image.peer_generation = 7;
  image.attempt = 2;
  image.peer_attempt = 1;
  return image;
}

void make_image_seeds(Corpus& corpus) {
  const auto add = [&](const char* name, const SessionImage& image, int capacity_index) {
    const auto bytes = encode(image);
    corpus.add("image", name, joined({capacity_index}, Bytes(bytes).first(bytes.size() - sizeof(std::uint64_t))));
  };
  SessionImage one = image();
  add("fresh", one, 2);
  add("tiny", one, 0);
  one.sent = {1000, 3000, 500};
  one.received = {2000, 4000, 3000};
  add("moving", one, 2);
  one.source = 6;
  one.loaded = {.marks = {{1, 2000}, {2, 3000}}, .acked = 900, .settled = false};
  add("loaded", one, 2);
  one.end = 3000;
  one.peer_end = 5000;
  add("ending", one, 2);
  one.detached = one.peer_closed = true;
  add("detached", one, 2);
  one.end_acked = one.closed = true;
  one.failure = Failure::lost;
  add("closed", one, 2);
  one = image();
  one.sent = {~std::uint64_t{0} - 10, ~std::uint64_t{0} - 5, 0};
  one.received = {~std::uint64_t{0} - 20, ~std::uint64_t{0} - 20, 0};
  add("finding_offsets_at_the_end", one, 2);
  one = image();
  one.file_name = "../../etc";
  add("finding_file_name_leads_out", one, 2);
  one = image();
  one.peer_end = 1000;
  one.received = {2000, 4000, 0};
  add("ended_before_held", one, 2);
  one = image();
  one.suspended = true;
  add("suspended", one, 2);
  one = image();
  one.creator = one.connecting = true;
  add("connecting", one, 2);
  one = image();
  one.creator = true;
  one.sent = {0, 16, 0};
  one.received = {0, 16, 15};
  add("full", one, 1);
}

void make_record_seeds(Corpus& corpus) {
  constexpr std::size_t head_bytes = 22;
  const auto add = [&](const char* name, const EndpointRecord& record) {
    const auto bytes = encode(record);
    corpus.add("record", name, Bytes(bytes).subspan(head_bytes));
    if (record.services.empty()) corpus.add("record", std::string(name) + "_whole", bytes);
  };
  EndpointRecord record;
  record.name = EndpointName::parse("bob@work.test").value();
  add("empty", record);
  record.generation = 3;
  record.private_key = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n";
  record.certificate = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
  record.policy = "prefer eth* wlan*\nstay\n";
  record.access = "allow file alice@*\ndeny * *\n";
  add("keys", record);
  record.services = {"file", "echo"};
  add("services", record);
  record.tombstones = {{id, EndpointName::parse("alice@home.test").value(), true, 100, 200},
                       {SessionId{{4}}, record.name, false, 0, 0}};
  add("tombstones", record);
  SessionRecord session{image(), copy_of(bytes_of("to be sent")), copy_of(bytes_of("to be read"))};
  session.image.sent = {100, 110, 0};
  session.image.received = {5, 15, 0};
  session.image.loaded = {.marks = {{2, 105}}, .acked = 90, .settled = true};
  record.sessions = {session};
  session.image.creator = true;
  session.image.file_name = "file.alice@home.test~label";
  record.sessions.push_back(session);
  add("sessions", record);
}

// --- what happens to a host: session 0 has come in from alice by connection 0, session 1 goes to her by 1 ------------

constexpr int zero = 0;  // Base::zero
constexpr int checkpoint = 3, finish = 4, close = 5, suspend = 6, resume = 7, resume_ok = 8, denied = 9, ping = 10;
const int held = Script::value(Base::held);
const int acked = Script::value(Base::acked);
const int written = Script::value(Base::written);
const int number = static_cast<int>(Base::small);

void add_bytes_both_ways(Corpus& corpus) {
  Script script;
  script.step(Step::write, {0, 0, 100}).step(Step::write, {1, 8, 0});
  script.step(Step::data, {0, held, 0, 200, 'x'}).step(Step::data, {1, held, 4, 0, 'y'});
  script.step(Step::read, {0, 0, 50, 0}).step(Step::read, {1, 4, 0, 1}).step(Step::read, {1, 2, 0, 0});
  script.step(Step::message, {0, 0, checkpoint, written, number, 200, 0});
  script.step(Step::message, {1, 1, ping}).step(Step::advance, {2});
  corpus.add("host", "bytes_both_ways", script.bytes());
}

void add_break_and_resume(Corpus& corpus) {
  Script script;
  script.step(Step::write, {1, 1, 0}).step(Step::data, {1, held, 1, 0, 'y'}).step(Step::cut, {1});
  script.step(Step::advance, {4}).step(Step::answer_dial, {0});
  script.step(Step::message, {1, 1, resume_ok, number, 7, zero, acked, number, 255, 0});
  script.step(Step::data, {1, held, 0, 10, 'z'}).step(Step::read, {1, 1, 255, 0});
  corpus.add("host", "break_and_resume", script.bytes());

  Script by_peer;
  by_peer.step(Step::write, {0, 1, 0}).step(Step::cut, {0}).step(Step::incoming, {0});
  by_peer.step(Step::message, {1, 0, resume, 0, number, 7, acked, number, 255, 0});
  by_peer.step(Step::data, {1, held, 0, 10, 'z'}).step(Step::incoming, {0});
  by_peer.step(Step::message, {2, 0, resume, 0, number, 7, written, number, 255, 0});
  corpus.add("host", "resume_by_peer", by_peer.bytes());

  Script crossed;
  crossed.step(Step::cut, {1}).step(Step::answer_dial, {0}).step(Step::incoming, {0});
  crossed.step(Step::message, {2, 1, resume, 0, number, 7, acked, number, 255, 0});
  crossed.step(Step::message, {1, 1, denied, 1, zero, zero, zero})
      .step(Step::advance, {8})
      .step(Step::fail_dial, {0, 1});
  corpus.add("host", "crossed", crossed.bytes());
}

void add_moves(Corpus& corpus) {
  Script script;
  script.step(Step::write, {1, 1, 0}).step(Step::better_link, {1, 2}).step(Step::data, {1, held, 1, 0, 'y'});
  script.step(Step::answer_dial, {0}).step(Step::data, {1, held, 1, 0, 'z'}).step(Step::message, {1, 1, ping});
  script.step(Step::message, {2, 1, resume_ok, number, 7, zero, acked, number, 255, 0});
  script.step(Step::data, {1, held, 0, 10, 'z'}).step(Step::read, {1, 1, 255, 0});
  corpus.add("host", "move", script.bytes());

  Script failing;
  failing.step(Step::better_link, {0, 1}).step(Step::answer_dial, {0}).step(Step::distrust, {2});
  failing.step(Step::better_link, {0, 2}).step(Step::answer_dial, {0}).step(Step::cut, {0}).step(Step::cut, {1});
  failing.step(Step::better_link, {1, 1}).step(Step::better_link, {1, 0}).step(Step::advance, {9});
  corpus.add("host", "moves_that_fail", failing.bytes());
}

void add_travels(Corpus& corpus) {
  Script script;
  script.step(Step::write, {1, 0, 100}).step(Step::data, {1, held, 0, 50, 't'}).step(Step::travel, {1});
  script.step(Step::answer_dial, {0})
      .step(Step::message, {0, 1, resume_ok, number, 7, zero, acked, number, 255, 4, number, 3});
  script.step(Step::write, {1, 0, 10}).step(Step::read, {1, 0, 20, 0}).step(Step::travel, {0}).step(Step::travel, {1});
  script.step(Step::incoming, {0})
      .step(Step::message, {0, 0, resume, 0, number, 8, written, number, 255, 4, number, 3});
  corpus.add("host", "travel", script.bytes());

  Script handoff;
  handoff.step(Step::incoming, {2}).step(Step::message, {2, 0, 12, 0, number, 4});
  handoff.step(Step::incoming, {0}).step(Step::message, {2, 0, 12, 0, number, 4});
  handoff.step(Step::incoming, {2}).step(Step::message, {2, 0, 12, 255, number, 4}).step(Step::advance, {9});
  corpus.add("host", "handoff", handoff.bytes());
}

void add_ends(Corpus& corpus) {
  Script script;
  script.step(Step::write, {0, 0, 10}).step(Step::act, {0, 0});
  script.step(Step::message, {0, 0, checkpoint, written, number, 200, 1});
  script.step(Step::message, {0, 0, finish, held}).step(Step::act, {0, 1});
  script.step(Step::message, {0, 0, checkpoint, written, number, 200, 3}).step(Step::advance, {7});
  script.step(Step::incoming, {0}).step(Step::message, {1, 0, resume, 0, number, 7, zero, zero, 0});
  corpus.add("host", "finish_and_close", script.bytes());

  Script closed;
  closed.step(Step::data, {1, held, 0, 10, 'a'}).step(Step::message, {1, 1, close, held});
  closed.step(Step::act, {1, 1}).step(Step::message, {1, 1, checkpoint, written, number, 200, 3});
  closed.step(Step::act, {0, 4}).step(Step::advance, {9});
  corpus.add("host", "close_and_abort", closed.bytes());
}

void add_waits(Corpus& corpus) {
  Script script;
  script.step(Step::act, {0, 2}).step(Step::act, {0, 3}).step(Step::answer_dial, {0}).step(Step::act, {1, 2});
  script.step(Step::message, {0, 0, suspend}).step(Step::network_change).step(Step::advance, {9});
  corpus.add("host", "suspend", script.bytes());

  Script restart;
  restart.step(Step::write, {0, 0, 50}).step(Step::data, {0, held, 0, 60, 'q'}).step(Step::read, {0, 0, 20, 2});
  restart.step(Step::answer_dial, {0}).step(Step::message, {0, 0, resume_ok, number, 7, zero, acked, number, 255, 0});
  restart.step(Step::restart, {1})
      .step(Step::answer_dial, {1})
      .step(Step::message, {1, 0, denied, 5, zero, zero, number, 7});
  corpus.add("host", "restart", restart.bytes());

  Script full;
  full.step(Step::full, {1}).step(Step::data, {0, held, 8, 0, 'f'}).step(Step::full, {0});
  full.step(Step::data, {0, held, 16, 1, 'f'}).step(Step::block, {1, 1}).step(Step::write, {1, 32, 0});
  full.step(Step::act, {1, 5}).step(Step::advance, {6}).step(Step::block, {1, 0});
  corpus.add("host", "full_and_blocked", full.bytes());
}

void add_arrivals(Corpus& corpus) {
  Script script;
  script.step(Step::incoming, {1}).step(Step::message, {2, 0, 0, 0, number, 9, number, 200, 0});
  script.step(Step::accept, {0, 1}).step(Step::accept, {0, 0}).step(Step::connect, {0}).step(Step::connect, {3});
  script.step(Step::answer_dial, {0}).step(Step::answer_dial, {0}).step(Step::service, {1, 1});
  script.step(Step::incoming, {2}).step(Step::message, {3, 9, 0, 0, number, 1, number, 1, 1});
  script.step(Step::service, {0, 0}).step(Step::endpoint, {0}).step(Step::endpoint, {1}).step(Step::advance, {9});
  corpus.add("host", "arrivals", script.bytes());

  Script raw;
  const Frame connect(Connect{protocol_version, SessionId{{77}}, 1, 4096, "file"});
  raw.step(Step::incoming, {1}).step(Step::raw, {2, static_cast<int>(connect.bytes().size())});
  auto bytes = raw.bytes();
  bytes.insert(bytes.end(), connect.bytes().begin(), connect.bytes().end());
  corpus.add("host", "raw", bytes);
}

}  // namespace

void Corpus::add(std::string_view target, std::string_view name, Bytes input) {
  const auto folder = std::filesystem::path(folder_) / target;
  std::filesystem::create_directories(folder);
  std::ofstream file(folder / name, std::ios::binary | std::ios::trunc);
  file << text_of(input);
  require(file.good(), "a seed can be written");
  ++files_;
}

void make_engine_seeds(Corpus& corpus) {
  make_wire_seeds(corpus);
  make_image_seeds(corpus);
  make_record_seeds(corpus);
}

void make_host_seeds(Corpus& corpus) {
  add_bytes_both_ways(corpus);
  add_break_and_resume(corpus);
  add_moves(corpus);
  add_travels(corpus);
  add_ends(corpus);
  add_waits(corpus);
  add_arrivals(corpus);
}

}  // namespace sessionfs::fuzz

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "Usage: fuzz_make_corpus FOLDER\n");
    return 2;
  }
  using namespace sessionfs::fuzz;
  Corpus corpus(arguments[1]);
  make_engine_seeds(corpus);
  make_host_seeds(corpus);
  make_sns_seeds(corpus);
  make_text_seeds(corpus);
  std::printf("%zu seeds\n", corpus.files());
  return 0;
}
