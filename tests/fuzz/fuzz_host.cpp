// A host with two sessions, one that came in and one that it has made, and peers that say and do anything.
//
// input: steps as in host_script.hpp
#include <array>
#include <chrono>

#include "tests/fuzz/host_driver.hpp"
#include "tests/fuzz/host_script.hpp"

namespace sessionfs::fuzz {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t capacity_bytes = 4096;
constexpr std::size_t max_steps = 200;
constexpr std::size_t max_count = 2 * capacity_bytes + 1;  // of a write, a read and a DATA frame
constexpr std::array services = {"file", "echo", "none"};
constexpr std::array<Duration, 10> times = {
    milliseconds(0),    milliseconds(1),    milliseconds(50),   milliseconds(100),   milliseconds(1000),
    milliseconds(2000), milliseconds(3000), milliseconds(5000), milliseconds(15000), milliseconds(60000)};

SessionId id_of(std::uint16_t number) {
  return SessionId{{static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number), 3}};
}

class Play {
 public:
  Play() : driver_(capacity_bytes) {
    auto& endpoint = driver_.host().add_endpoint(bob_, 3, driver_.now());
    (void)endpoint.services["file"];
    const ConnId first = driver_.incoming(bob_, alice_);
    driver_.feed(first, Connect{protocol_version, id_of(++last_id_), 7, capacity_bytes, "file"});
    (void)driver_.accept(bob_, "file");
    (void)driver_.connect(bob_, "file.alice@home.test", id_of(++last_id_));
    const ConnId second = driver_.conns().rbegin()->first;
    driver_.dial_answered(second);
    driver_.feed(second, ConnectOk{7, capacity_bytes, 0});
  }

  void run(Choices choices) {
    for (std::size_t i = 0; i < max_steps && !choices.empty(); ++i) step(choices);
    // In the end everybody goes away, and time passes.
    while (!driver_.conns().empty()) {
      const auto& [conn, seen] = *driver_.conns().begin();
      if (seen.dialling) {
        driver_.dial_failed(conn, DialFailure::unreachable);
      } else {
        driver_.cut(conn);
      }
      if (++ended_ > max_steps) break;
    }
    driver_.advance(std::chrono::minutes(2));
  }

 private:
  void step(Choices& in);
  void step_of_connection(Step step, Choices& in);
  void step_of_session(Step step, Choices& in);
  void step_of_endpoint(Step step, Choices& in);
  void act(const std::shared_ptr<Session>& session, std::size_t what);
  void message(ConnId conn, Choices& in);
  Progress progress(const std::shared_ptr<Session>& session, Choices& in);
  std::uint64_t value(const std::shared_ptr<Session>& session, Choices& in);

  // 0 when there is none of this kind.
  ConnId conn(Choices& in, bool dialling) {
    std::vector<ConnId> all;
    for (const auto& [conn, seen] : driver_.conns())
      if (seen.dialling == dialling) all.push_back(conn);
    const std::size_t index = in.index(all.size());
    return all.empty() ? 0 : all[index];
  }
  std::shared_ptr<Session> session(Choices& in) {
    const auto& all = driver_.streams();
    const std::size_t index = in.index(all.size());
    return all.empty() ? nullptr : std::next(all.begin(), static_cast<std::ptrdiff_t>(index))->second.session;
  }

  const EndpointName bob_ = endpoint_name("bob@work.test");
  const EndpointName alice_ = endpoint_name("alice@home.test");
  const EndpointName mallory_ = endpoint_name("mallory@home.test");
  HostDriver driver_;
  std::uint16_t last_id_ = 0;
  std::uint64_t attempt_ = 0;
  std::uint64_t source_ = 0;  // that goes with the progress made last
  std::size_t ended_ = 0;
};

std::uint64_t Play::value(const std::shared_ptr<Session>& session, Choices& in) {
  const std::uint8_t what = in.byte();
  std::uint64_t base = 0;
  const auto of = static_cast<Base>(what & 15);
  if (of == Base::small) base = in.byte();
  if (of == Base::number) base = in.number();
  if (of == Base::most) base = ~std::uint64_t{0};
  if (session) {
    if (of == Base::acked) base = session->send_buffer().acked();
    if (of == Base::sent) base = session->send_buffer().sent();
    if (of == Base::written) base = session->send_buffer().written();
    if (of == Base::limit) base = session->send_buffer().limit();
    if (of == Base::read) base = session->recv_buffer().read();
    if (of == Base::held) base = session->recv_buffer().held();
    if (of == Base::room) base = session->recv_buffer().limit();
  }
  return base + static_cast<std::uint64_t>(added[what >> 4]);
}

Progress Play::progress(const std::shared_ptr<Session>& session, Choices& in) {
  Progress progress;
  progress.held = value(session, in);
  progress.limit = progress.held + value(nullptr, in);
  const std::uint8_t flags = in.byte();
  progress.has_finish = (flags & 1) != 0;
  progress.has_close = (flags & 2) != 0;
  source_ = session ? session->image().generation : 0;
  if ((flags & 4) != 0) source_ = value(nullptr, in);
  return progress;
}

// A message as a peer of this session could send it, or nearly.
void Play::message(ConnId conn, Choices& in) {
  const auto about = session(in);
  const auto id = about ? about->id() : id_of(60000);
  switch (in.byte() % std::variant_size_v<Message>) {
    case 0: {
      const std::uint8_t fresh = in.byte();
      const std::uint64_t generation = value(nullptr, in);
      const std::uint64_t limit = value(about, in);
      return driver_.feed(
          conn, Connect{static_cast<std::uint16_t>(fresh == 255 ? 2 : protocol_version),
                        fresh == 0 ? id_of(++last_id_) : id, generation, limit, services[in.index(services.size())]});
    }
    case 1: {
      const std::uint64_t generation = value(nullptr, in);
      const std::uint64_t limit = value(about, in);
      return driver_.feed(conn, ConnectOk{generation, limit, value(nullptr, in)});
    }
    case 2:
      return driver_.feed(conn, ConnectDenied{static_cast<ConnectDenial>(1 + in.index(5))});
    case 3:
      return driver_.feed(conn, Checkpoint{progress(about, in)});
    case 4:
      return driver_.feed(conn, Finish{value(about, in)});
    case 5:
      return driver_.feed(conn, Close{value(about, in)});
    case 6:
      return driver_.feed(conn, Suspend{});
    case 7: {
      const std::uint8_t attempt = in.byte();
      Resume resume{protocol_version, id, value(nullptr, in), attempt, about && !about->creator(), {}};
      if (attempt == 0) resume.attempt = ++attempt_;
      if (attempt == 1) resume.attempt = attempt_;
      if (attempt == 255) resume.from_creator = !resume.from_creator;
      if (attempt == 254) resume.version = 2;
      resume.progress = progress(about, in);
      resume.source = source_;
      return driver_.feed(conn, resume);
    }
    case 8: {
      const std::uint64_t generation = value(nullptr, in);
      const std::uint64_t attempt = value(nullptr, in);
      const Progress said = progress(about, in);
      return driver_.feed(conn, ResumeOk{generation, attempt, said, source_});
    }
    case 9: {
      const auto reason = static_cast<ResumeDenial>(1 + in.index(9));
      const std::uint64_t held = value(about, in);
      const std::uint64_t end = value(about, in);
      return driver_.feed(conn, ResumeDenied{reason, held, end, value(nullptr, in)});
    }
    case 10:
      return driver_.feed(conn, Ping{});
    case 11:
      return driver_.feed(conn, Abort{});
    case 12: {
      const bool known = in.byte() != 255;
      return driver_.feed(conn, Handoff{static_cast<std::uint16_t>(known ? protocol_version : protocol_version + 1),
                                        value(nullptr, in)});
    }
    case 13: {
      const std::uint64_t generation = value(nullptr, in);
      return driver_.feed(conn, HandoffOk{generation, value(nullptr, in)});
    }
    case 14:
      return driver_.feed(conn, HandoffDenied{static_cast<HandoffDenial>(1 + in.index(4)), value(nullptr, in)});
    default:
      return driver_.feed(conn, HandoffTaken{});
  }
}

void Play::step_of_connection(Step step, Choices& in) {
  const bool dialling = step == Step::answer_dial || step == Step::fail_dial;
  const ConnId conn = this->conn(in, dialling);
  if (conn == 0) return;
  switch (step) {
    case Step::raw:
      return driver_.feed(conn, in.field());
    case Step::message:
      return message(conn, in);
    case Step::data: {
      const std::uint64_t offset = value(driver_.session_of(conn), in);
      const std::size_t size = std::max<std::size_t>(1, in.word() % max_count);
      return driver_.feed_data(conn, offset, size, static_cast<std::byte>(in.byte()));
    }
    case Step::cut:
      return driver_.cut(conn);
    case Step::answer_dial:
      return driver_.dial_answered(conn);
    case Step::fail_dial:
      return driver_.dial_failed(conn, static_cast<DialFailure>(in.index(5)));
    case Step::distrust:
      // Who has said anything has trusted us.
      if (const auto& seen = driver_.conns().at(conn); seen.dialled && !seen.greeted)
        driver_.dial_failed(conn, DialFailure::untrusted);
      return;
    default:
      return driver_.set_blocked(conn, in.byte() != 0);
  }
}

void Play::act(const std::shared_ptr<Session>& session, std::size_t what) {
  using Act = void (Host::*)(Session&, Time);
  static constexpr std::array<Act, 6> acts = {&Host::finish, &Host::close, &Host::suspend,
                                              &Host::resume, &Host::abort, &Host::request_checkpoint};
  driver_.with([&](Host& host, Time now) { (host.*acts[what])(*session, now); });
}

void Play::step_of_session(Step step, Choices& in) {
  static constexpr std::array<std::string_view, 3> links{"", "eth0", "eth1"};
  const auto session = this->session(in);
  if (step == Step::better_link) {
    const auto link = links[in.index(links.size())];
    if (session) driver_.with([&](Host& host, Time now) { host.handle_path(*session, link, now); });
    return;
  }
  const std::size_t count = step == Step::act ? in.index(6) : in.word() % max_count;
  if (!session) return;
  if (step == Step::act) return act(session, count);
  if (step == Step::write) return driver_.write(session, count);
  driver_.read(session, count, static_cast<HostDriver::Reader>(in.index(3)));
}

void Play::step_of_endpoint(Step step, Choices& in) {
  if (step == Step::endpoint) {
    const bool makes = in.byte() != 0;
    return driver_.with([&](Host& host, Time now) {
      if (!makes) return host.remove_endpoint(bob_, now);
      if (host.find_endpoint(bob_) == nullptr) (void)host.add_endpoint(bob_, 3, now).services["file"];
    });
  }
  const std::string service = services[in.index(services.size())];
  const bool flag = in.byte() != 0;
  if (step == Step::accept) {
    const auto session = driver_.accept(bob_, service);
    if (session && flag) driver_.with([&](Host& host, Time) { host.give_back(*host.find_endpoint(bob_), session); });
    return;
  }
  driver_.with([&](Host& host, Time now) {
    Endpoint* endpoint = host.find_endpoint(bob_);
    if (endpoint == nullptr) return;
    if (flag) {
      (void)endpoint->services[service];
    } else {
      host.remove_service(*endpoint, service, now);
    }
  });
}

void Play::step(Choices& in) {
  const auto step = static_cast<Step>(in.index(static_cast<std::size_t>(Step::count)));
  switch (step) {
    case Step::incoming: {
      const std::array<const EndpointName*, 3> peers = {&alice_, &mallory_, &bob_};
      driver_.incoming(bob_, *peers[in.index(peers.size())]);
      return;
    }
    case Step::advance:
      return driver_.advance(times[in.index(times.size())]);
    case Step::write:
    case Step::read:
    case Step::act:
    case Step::better_link:
      return step_of_session(step, in);
    case Step::network_change:
      return driver_.network_change();
    case Step::connect: {
      const std::uint8_t label = in.byte();
      const std::string target = label % 2 == 0 ? "file.alice@home.test" : "file.bob@work.test";
      (void)driver_.connect(bob_, target + (label < 2 ? "" : "~" + std::to_string(label)), id_of(++last_id_));
      return;
    }
    case Step::restart:
      return driver_.restart(in.byte() != 0);
    case Step::travel:
      return driver_.travel(bob_, in.byte() != 0);
    case Step::full:
      return driver_.set_full(in.byte() != 0);
    case Step::accept:
    case Step::service:
    case Step::endpoint:
      return step_of_endpoint(step, in);
    default:
      return step_of_connection(step, in);
  }
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sessionfs::fuzz;
  Play().run(Choices(input_of(data, size)));
  return 0;
}
