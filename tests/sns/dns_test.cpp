// Lookups in DNS, of a real server: dnsmasq, on loopback. And without any.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <thread>

#include "tests/sns/dns_fixture.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration): not in every libc's headers

namespace sessionfs::sns {
namespace {

using ::testing::ElementsAre;

constexpr int start_attempts = 20;
constexpr int cannot_bind = 2;  // dnsmasq's exit status: a port is in use

std::string find_dnsmasq() {
  for (const char* path : {"/usr/sbin/dnsmasq", "/usr/bin/dnsmasq", "/usr/local/sbin/dnsmasq"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  return {};
}

class Dnsmasq {
 public:
  explicit Dnsmasq(const std::vector<std::string>& records) {
    for (int i = 0; i < start_attempts && pid_ < 0; ++i) start(records);
    if (pid_ < 0) throw std::runtime_error("dnsmasq does not start");
  }
  ~Dnsmasq() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Dnsmasq(const Dnsmasq&) = delete;
  Dnsmasq& operator=(const Dnsmasq&) = delete;
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  void start(const std::vector<std::string>& records) {
    port_ = free_port();
    std::vector<std::string> words{find_dnsmasq(),
                                   "--keep-in-foreground",
                                   "--conf-file=/dev/null",
                                   "--no-resolv",
                                   "--pid-file",
                                   "--user=root",
                                   "--no-hosts",
                                   "--bind-interfaces",
                                   "--listen-address=127.0.0.1",
                                   "--log-facility=/dev/null",
                                   "--local=/net/",
                                   "--port=" + std::to_string(port_)};
    words.insert(words.end(), records.begin(), records.end());
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    if (::posix_spawn(&pid_, argv[0], nullptr, nullptr, argv.data(), environ) != 0) {
      throw std::runtime_error("posix_spawn");
    }
    // It listens once a connection is taken.
    const auto limit = std::chrono::steady_clock::now() + test_limit;
    while (std::chrono::steady_clock::now() < limit) {
      asio::io_context io;
      tcp::socket probe(io);
      boost::system::error_code error;
      probe.connect({asio::ip::address_v4::loopback(), port_}, error);
      int status = 0;
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        if (WIFEXITED(status) && WEXITSTATUS(status) == cannot_bind) return;
        throw std::runtime_error("dnsmasq has ended with status " + std::to_string(status));
      }
      if (!error) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    throw std::runtime_error("dnsmasq does not listen");
  }
  pid_t pid_ = -1;
  std::uint16_t port_ = 0;
};

// --- a real server -----------------------------------------------------------------------------------------------

class RealDnsTest : public DnsTest {
 protected:
  void SetUp() override {
    if (find_dnsmasq().empty()) GTEST_SKIP() << "dnsmasq is not installed";
  }
  void serve(const std::vector<std::string>& records) {
    server_ = std::make_unique<Dnsmasq>(records);
    dns(server_->address());
  }
  std::unique_ptr<Dnsmasq> server_;
};

TEST_F(RealDnsTest, TargetsComeInTheOrderOfTheirPriorities) {
  serve({"--srv-host=_sns._tcp.verkstad.net,second.verkstad.net,4802,20,0",
         "--srv-host=_sns._tcp.verkstad.net,first.verkstad.net,4801,10,0",
         "--host-record=first.verkstad.net,10.0.0.1,fd00::1", "--host-record=second.verkstad.net,10.0.0.2,fd00::2"});
  const auto found = servers("verkstad.net");
  EXPECT_EQ(found.status, Status::ok);
  EXPECT_THAT(found.servers, ElementsAre(at_address("fd00::1", 4801), at_address("10.0.0.1", 4801),
                                         at_address("fd00::2", 4802), at_address("10.0.0.2", 4802)));
}

TEST_F(RealDnsTest, WeightsDecideWhoComesFirst) {
  serve({"--srv-host=_sns._tcp.verkstad.net,heavy.verkstad.net,4701,10,900",
         "--srv-host=_sns._tcp.verkstad.net,light.verkstad.net,4701,10,100",
         "--host-record=heavy.verkstad.net,10.0.0.1", "--host-record=light.verkstad.net,10.0.0.2"});
  std::map<tcp::endpoint, int> first;
  for (int i = 0; i < 100; ++i) {
    const auto found = servers("verkstad.net");
    ASSERT_EQ(found.servers.size(), 2U);
    ++first[found.servers[0]];
  }
  EXPECT_GT(first[at_address("10.0.0.1", 4701)], 70);  // 90 of 100; the seed is given
  EXPECT_GT(first[at_address("10.0.0.2", 4701)], 0);
}

TEST_F(RealDnsTest, ADomainWithoutSrvRecordsIsItsOwnServer) {
  serve({"--host-record=verkstad.net,10.0.0.1,fd00::1", "--host-record=old.net,10.0.0.2",
         "--host-record=new.net,fd00::3"});
  EXPECT_THAT(servers("verkstad.net").servers,
              ElementsAre(at_address("fd00::1", default_port), at_address("10.0.0.1", default_port)));
  EXPECT_THAT(servers("old.net").servers, ElementsAre(at_address("10.0.0.2", default_port)));
  EXPECT_THAT(servers("new.net").servers, ElementsAre(at_address("fd00::3", default_port)));
}

TEST_F(RealDnsTest, WhatDoesNotExistIsNotFound) {
  serve({"--host-record=host.verkstad.net,10.0.0.1", "--txt-record=empty.net,text",
         "--srv-host=_sns._tcp.lost.net,nowhere.net,4701,0,0"});
  EXPECT_EQ(servers("nosuch.net").status, Status::not_found);
  EXPECT_EQ(servers("verkstad.net").status, Status::not_found) << "the domain exists, without an address";
  EXPECT_EQ(servers("empty.net").status, Status::not_found);
  EXPECT_EQ(servers("lost.net").status, Status::not_found) << "a target that does not exist";
  EXPECT_EQ(host("nosuch.verkstad.net", 1).status, Status::not_found);
}

TEST_F(RealDnsTest, ADomainCanSayThatItHasNoNameServer) {
  serve({"--srv-host=_sns._tcp.verkstad.net", "--host-record=verkstad.net,10.0.0.1"});
  EXPECT_EQ(servers("verkstad.net").status, Status::not_found);
}

TEST_F(RealDnsTest, AServerThatKnowsNothingOfTheDomainIsNoAnswer) {
  serve({});
  EXPECT_EQ(servers("verkstad.example").status, Status::unreachable);  // REFUSED
}

TEST_F(RealDnsTest, ATargetThatIsLostDoesNotHideTheOthers) {
  serve({"--srv-host=_sns._tcp.verkstad.net,nowhere.net,4701,0,0",
         "--srv-host=_sns._tcp.verkstad.net,there.net,4702,1,0", "--host-record=there.net,10.0.0.1"});
  EXPECT_THAT(servers("verkstad.net").servers, ElementsAre(at_address("10.0.0.1", 4702)));
}

TEST_F(RealDnsTest, TheShortestLifetimeCounts) {
  serve({"--local-ttl=900", "--srv-host=_sns._tcp.verkstad.net,a.net,4701,0,0",
         "--srv-host=_sns._tcp.verkstad.net,b.net,4701,0,0", "--host-record=a.net,10.0.0.1,300",
         "--host-record=b.net,10.0.0.2,600", "--srv-host=_sns._tcp.steady.net,steady.net,4701,0,0",
         "--host-record=steady.net,10.0.0.3,100000", "--host-record=brief.net,10.0.0.4,1",
         "--host-record=long.net,10.0.0.5,100000"});
  EXPECT_EQ(servers("verkstad.net").lifetime, std::chrono::seconds(300));
  EXPECT_EQ(servers("steady.net").lifetime, std::chrono::seconds(900)) << "that of the SRV record";
  EXPECT_EQ(servers("brief.net").lifetime, min_dns_lifetime);
  EXPECT_EQ(servers("long.net").lifetime, max_dns_lifetime);
}

TEST_F(RealDnsTest, AnswersTooLongForOnePacketComeByTcp) {
  std::vector<std::string> records;
  const std::string label(60, 'x');
  for (int i = 0; i < 60; ++i) {
    const auto name = label + std::to_string(100 + i) + ".net";
    records.push_back("--srv-host=_sns._tcp.verkstad.net," + name + ",4701," + std::to_string(i) + ",0");
    records.push_back("--host-record=" + name + ",10.0.1." + std::to_string(i));
  }
  serve(records);
  const auto found = servers("verkstad.net");
  ASSERT_EQ(found.servers.size(), max_srv_targets);
  for (std::size_t i = 0; i < found.servers.size(); ++i) {
    EXPECT_EQ(found.servers[i], at_address(("10.0.1." + std::to_string(i)).c_str(), 4701));
  }
}

TEST_F(RealDnsTest, AHostIsFound) {
  serve({"--host-record=server.verkstad.net,10.0.0.1,fd00::1", "--cname=alias.net,server.verkstad.net"});
  EXPECT_THAT(host("server.verkstad.net", 5000).servers,
              ElementsAre(at_address("fd00::1", 5000), at_address("10.0.0.1", 5000)));
  EXPECT_THAT(host("alias.net", 5000).servers, ElementsAre(at_address("fd00::1", 5000), at_address("10.0.0.1", 5000)));
}

TEST_F(RealDnsTest, ManyAtOnce) {
  serve({"--srv-host=_sns._tcp.verkstad.net,a.net,4701,0,0", "--host-record=a.net,10.0.0.1"});
  std::size_t found = 0;
  std::size_t refused = 0;
  const std::size_t lookups = max_dns_lookups + 3;
  Dns second(io_, config_);
  for (std::size_t i = 0; i < lookups; ++i) {
    Dns& one = i % 2 == 0 ? *dns_ : second;
    one.find_name_servers("verkstad.net",
                          [&](const Dns::Found& result) { (result.status == Status::ok ? found : refused) += 1; });
  }
  run_until(io_, [&] { return found + refused == lookups; });
  EXPECT_LE(found, max_dns_lookups) << "however many ask for them";
  EXPECT_GE(refused, 3U);
  EXPECT_EQ(servers("verkstad.net").status, Status::ok) << "and later there is room again";
}

TEST_F(RealDnsTest, TheSecondServerAnswersWhenTheFirstDoesNot) {
  serve({"--host-record=verkstad.net,10.0.0.1"});
  config_.servers = {"127.0.0.1:" + std::to_string(free_port()), server_->address()};
  dns_ = std::make_unique<Dns>(io_, config_);
  EXPECT_EQ(servers("verkstad.net").status, Status::ok);
}

// --- without a server --------------------------------------------------------------------------------------------

TEST_F(DnsTest, SomeDomainsAreNotAskedFor) {
  udp::socket socket(io_, {asio::ip::address_v4::loopback(), 0});
  dns("127.0.0.1:" + std::to_string(socket.local_endpoint().port()));
  for (const char* domain : {"local", "printer.local", "LOCAL", "localhost", "x.localhost", "x.invalid", "x.onion",
                             "10.0.0.1", "1", "x.1", "fd00::1", "", ".", "a..b", "a b", "-a.net"}) {
    EXPECT_EQ(servers(domain).status, Status::not_found) << domain;
    EXPECT_FALSE(is_dns_domain(domain)) << domain;
  }
  for (const char* domain : {"verkstad.net", "Verkstad.NET", "verkstad", "local.net", "1.net", "10.0.0.net"}) {
    EXPECT_TRUE(is_dns_domain(domain)) << domain;
  }
  EXPECT_EQ(host("", 1).status, Status::not_found);
  EXPECT_EQ(host(std::string("a\0b", 3), 1).status, Status::not_found);
  EXPECT_EQ(host("a\nb", 1).status, Status::not_found);
  EXPECT_EQ(host(std::string(300, 'a'), 1).status, Status::not_found);
  EXPECT_EQ(socket.available(), 0U) << "a question was asked";
}

TEST_F(DnsTest, AnAddressIsItself) {
  dns("127.0.0.1:" + std::to_string(free_port()));
  EXPECT_THAT(host("10.0.0.1", 7).servers, ElementsAre(at_address("10.0.0.1", 7)));
  EXPECT_THAT(host("fd00::1", 7).servers, ElementsAre(at_address("fd00::1", 7)));
  EXPECT_THAT(host("fe80::1%1", 7).servers, ElementsAre(at_address("fe80::1%1", 7)));
  const auto found = host("localhost", 7);
  EXPECT_EQ(found.status, Status::ok);
  for (const auto& server : found.servers) EXPECT_TRUE(server.address().is_loopback());
}

TEST_F(DnsTest, AClosedPortIsUnreachable) {
  dns("127.0.0.1:" + std::to_string(free_port()));
  EXPECT_EQ(servers("verkstad.net").status, Status::unreachable);
  EXPECT_EQ(host("verkstad.net", 1).status, Status::unreachable);
}

TEST_F(DnsTest, SilenceEndsInTime) {
  udp::socket silent(io_, {asio::ip::address_v4::loopback(), 0});
  const auto address = "127.0.0.1:" + std::to_string(silent.local_endpoint().port());
  config_ = DnsConfig{};  // the real limits
  const auto start = std::chrono::steady_clock::now();
  dns(address);
  EXPECT_EQ(servers("verkstad.net").status, Status::unreachable);
  EXPECT_GE(std::chrono::steady_clock::now() - start, dns_query_limit) << "it has waited for an answer";
  // By the limit of the whole, when those of the questions are no help.
  config_ = {{}, patient, 5, std::chrono::milliseconds(100), 1};
  dns(address);
  EXPECT_EQ(servers("verkstad.net").status, Status::unreachable);
  EXPECT_EQ(host("verkstad.net", 1).status, Status::unreachable);
}

TEST_F(DnsTest, NobodyIsCalledAfterTheEnd) {
  udp::socket silent(io_, {asio::ip::address_v4::loopback(), 0});
  dns("127.0.0.1:" + std::to_string(silent.local_endpoint().port()));
  const auto never = [](const Dns::Found&) { ADD_FAILURE() << "called"; };
  dns_->find_name_servers("verkstad.net", never);
  dns_->find_host("verkstad.net", 1, never);
  dns_->find_host("10.0.0.1", 1, never);
  dns_->find_name_servers("local", never);
  silent.wait(udp::socket::wait_read);  // it is under way
  dns_.reset();
  while (io_.poll() > 0) {
  }
  // And before anything has run.
  asio::io_context other;
  Dns(other, config_).find_name_servers("verkstad.net", never);
  other.run();
}

TEST_F(DnsTest, ItCanEndInItsOwnCallback) {
  dns("127.0.0.1:" + std::to_string(free_port()));
  bool called = false;
  dns_->find_host("other.net", 1, [](const Dns::Found&) {});
  dns_->find_name_servers("local", [&](const Dns::Found&) {
    called = true;
    dns_.reset();
  });
  run_until(io_, [&] { return called; });
  EXPECT_EQ(dns_, nullptr);
}

}  // namespace
}  // namespace sessionfs::sns
