// What fuzz_responder begins with: a name server's database and connections to it.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "sns/responder.hpp"
#include "tests/fuzz/asked.hpp"

namespace sessionfs::fuzz {

using namespace sns;

inline constexpr UnixTime now{std::chrono::seconds(1'800'000'000)};

inline std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

// A database as every run starts from it, made once: its authority's key is random.
struct Beginning {
  Beginning() {
    const TemporaryFolder folder;
    {
      Responder responder(Storage::open(folder.path(), std::string(asked_domain), now, Durability::process));
      for (std::uint8_t i = 1; i <= asked_keys; ++i) keys.push_back(test_key(i));
      for (std::size_t i = 0; i < 2; ++i) members.push_back(responder.admit(keys[i], now).member_id);
      for (std::uint8_t i = 0; i < asked_known_tokens; ++i) {
        const auto expires = i < asked_good_tokens ? now + std::chrono::hours(1) : now - std::chrono::hours(1);
        require(responder.storage().add_token(asked_secret(i), expires, now), "a token can be made");
      }
    }
    database = content_of(std::filesystem::path(folder.path()) / "sns.sqlite");
    require(!database.empty(), "a name server has a database");
  }
  std::vector<KeyPair> keys;  // by number, from 1
  std::vector<MemberId> members;
  std::string database;
};

inline const Beginning& beginning() {
  static const Beginning made;
  return made;
}

// A connection to the name server, and what its watches have told.
struct Connection {
  Connection(Responder& responder, std::uint8_t number) : channel(responder, binding_of(number)) {
    binding = binding_of(number);
    channel.on_news = [this] {
      require(!has_news, "news are announced once");
      has_news = true;
    };
  }
  static ChannelBinding binding_of(std::uint8_t number) {
    ChannelBinding made;
    made.fill(std::byte{number});
    return made;
  }
  ChannelBinding binding{};
  Responder::Channel channel;
  bool has_news = false;
  std::uint64_t last_id = 0;
  std::map<EndpointName, Reply> watches;  // with what was told last
};

}  // namespace sessionfs::fuzz
