// A domain's name server without any network: a request's bytes in, a reply's bytes out. The TLS server asks it, and so
// does the daemon for the domain that it serves itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "sns/authority.hpp"
#include "sns/membership.hpp"
#include "sns/storage.hpp"
#include "sns/table.hpp"
#include "sns/wire.hpp"

namespace sessionfs::sns {

class Responder {
 public:
  /// Loads the table. Throws std::runtime_error when what is stored is damaged.
  explicit Responder(Storage storage);

  [[nodiscard]] const Authority& authority() const { return authority_; }
  [[nodiscard]] const Table& table() const { return table_; }
  [[nodiscard]] Storage& storage() { return storage_; }

  /// What the responder must know of one connection.
  struct Channel {
    ChannelBinding binding{};   // signatures hold for this connection alone
    std::uint64_t last_id = 0;  // ids strictly grow, so that no request can be replayed
  };
  struct Answer {
    std::vector<std::byte> reply;  // the body of one frame
    bool close = false;            // the peer does not speak this protocol: send the reply, then close
  };
  /// Answers one request: the body of one frame. Changes are kept before this returns. Throws nothing; trouble of the
  /// server's own is Status::internal, and its text goes to `on_trouble`.
  Answer respond(Channel& channel, std::span<const std::byte> request, UnixTime now);

  /// Makes a host a member without a token: for the daemon that holds this responder. The same key is the same member.
  /// Throws std::runtime_error when it cannot be stored.
  Membership admit(const KeyPair& member_key, UnixTime now);

  std::function<void(const std::string& what)> on_trouble;  // may be empty

 private:
  struct Asked;  // a decoded request and what proves it
  Reply answer(const Asked& asked, UnixTime now);
  Reply join(const Asked& asked, UnixTime now);
  Reply new_ep(const Asked& asked, UnixTime now);
  Reply change(const Asked& asked, UnixTime now);
  [[nodiscard]] Reply get(const Asked& asked) const;
  Status commit(const Change& change, MemberId member, UnixTime now);

  Storage storage_;
  Authority authority_;
  Table table_;
};

}  // namespace sessionfs::sns
