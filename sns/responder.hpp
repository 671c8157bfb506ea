// A domain's name server without any network: a request's bytes in, a reply's bytes out. The TLS server asks it, and so
// does the daemon for the domain that it serves itself.
//
// Changes are made in memory at once and kept by commit(), many at a time: who has asked is answered after that.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sns/authority.hpp"
#include "sns/membership.hpp"
#include "sns/storage.hpp"
#include "sns/table.hpp"
#include "sns/wire.hpp"

namespace sessionfs::sns {

inline constexpr std::size_t max_watches_per_channel = 4096;
inline constexpr std::size_t max_watches_per_address = 16384;
inline constexpr std::size_t max_watching_channels_per_address = 512;  // they may stay without asking anything
inline constexpr std::size_t max_watches = 1000000;

class Responder {
 public:
  /// Loads the table. Throws std::runtime_error when what is stored is damaged.
  explicit Responder(Storage storage, std::chrono::seconds lease = default_lease);

  [[nodiscard]] const Authority& authority() const { return authority_; }
  [[nodiscard]] const Table& table() const { return table_; }
  [[nodiscard]] Storage& storage() { return storage_; }

  /// What the channels from one address have together.
  struct Origin {
    std::size_t watches = 0;
    std::size_t watching_channels = 0;
  };

  /// What the responder knows of one connection. Must not outlive the responder.
  class Channel {
   public:
    /// `binding`: signatures hold for this connection alone. `origin` must outlive the channel; null: it comes from
    /// this process, and has the limits of a channel alone.
    Channel(Responder& responder, const ChannelBinding& binding, Origin* origin = nullptr);
    ~Channel();
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    /// Called when there is something new that it watches; not again before take_news(). Must not call the responder.
    std::function<void()> on_news;
    /// Whether it watches something: then it may wait for news without asking anything.
    [[nodiscard]] bool watches() const { return !watches_.empty(); }

   private:
    friend Responder;
    Responder& responder_;
    ChannelBinding binding_;
    Origin own_origin_;
    Origin& origin_;
    std::uint64_t order_;                            // of the connections
    std::uint64_t last_id_ = 0;                      // ids strictly grow, so that no request can be replayed
    std::map<EndpointName, std::uint64_t> watches_;  // with the id of the request
    std::set<EndpointName> news_;
  };

  struct Answer {
    std::vector<std::byte> reply;  // the body of one frame
    bool close = false;            // the peer does not speak this protocol: send the reply, then close
    bool uncommitted = false;      // to be sent after commit()
    bool costly = false;           // it asks for a signature's check, whatever comes of it
  };
  /// Answers one request: the body of one frame. Throws nothing; trouble of the server's own is Status::internal, and
  /// its text goes to `on_trouble`.
  Answer respond(Channel& channel, std::span<const std::byte> request, UnixTime now);

  /// Keeps all changes since the last call, by one write to the disk, and tells those who watch. When it returns false
  /// none of them is made, and to_failed() gives what is to be answered instead.
  [[nodiscard]] bool commit();
  static void to_failed(Answer& answer);

  /// The replies that tell what has changed of what the channel watches, each the body of one frame; at most `limit`,
  /// and on_news is called again when there are more.
  std::vector<std::vector<std::byte>> take_news(Channel& channel, std::size_t limit);

  /// To be called every second or so: looks for leases that have run out, and for what another process (snsd revoke)
  /// has changed. `clock` is that of Table::advance().
  void tick(std::chrono::seconds clock, UnixTime now);

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
  Reply change_ep(const Asked& asked, const EndpointName& name, const Table::Endpoint& known, UnixTime now);
  [[nodiscard]] Reply get(const Request& request) const;
  Reply watch(Channel& channel, const Request& request);
  [[nodiscard]] bool may_watch(const Channel& channel) const;
  Status make(const Change& change, MemberId member, UnixTime now);
  void make_known(const EndpointName& name);
  void end_watch(Channel& channel, std::map<EndpointName, std::uint64_t>::iterator watch);
  void take_back();
  void refresh();
  void trouble(const std::string& what) const;

  Storage storage_;
  Authority authority_;
  Table table_;
  std::uint64_t last_order_ = 0;
  std::unordered_map<EndpointName, std::vector<Channel*>> watchers_;
  std::size_t watches_ = 0;
  std::int64_t foreign_changes_ = 0;
  // What was before each change since the last commit(), in their order.
  std::vector<std::pair<EndpointName, std::optional<Table::Endpoint>>> before_;
};

}  // namespace sessionfs::sns
