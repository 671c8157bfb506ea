#include "fs/handoff.hpp"

#include <boost/asio/post.hpp>
#include <utility>

#include "engine/record.hpp"
#include "fs/handoff_documents.hpp"
#include "fs/handoff_end.hpp"

namespace sessionfs::fs {
namespace {

class Asking final : public HandoffEnd {
 public:
  Asking(boost::asio::io_context& io, std::uint64_t generation, std::function<void(HandoffAnswer)> done)
      : HandoffEnd(io), io_(io), generation_(generation), done_(std::move(done)) {}

  void start(boost::asio::io_context& io, const TlsIdentity& identity, std::vector<Way> ways) {
    begin(dial(io, identity, identity.name(), std::move(ways), this));
    expire_after(handoff_reach_limit);
  }
  void on_ready(const EndpointName&) override {
    is_reached_ = true;
    send(Handoff{protocol_version, generation_});
    expire_after(handoff_stall_limit);
  }

 private:
  bool handle(const FrameReader::Event& event) override {
    if (const auto* part = std::get_if<FrameReader::DataPart>(&event)) return take(*part);
    const auto* message = std::get_if<Message>(&event);
    if (message == nullptr) return false;
    if (const auto* denied = std::get_if<HandoffDenied>(message)) {
      HandoffAnswer answer;
      answer.kind = HandoffAnswer::Kind::denied;
      answer.denial = denied->reason;
      end(false);
      tell(std::move(answer));
      return true;
    }
    const auto* ok = std::get_if<HandoffOk>(message);
    if (ok == nullptr || size_ != 0 || ok->size == 0 || ok->size > max_record_bytes) return false;
    size_ = static_cast<std::size_t>(ok->size);
    expire_after(handoff_stall_limit);
    return true;
  }
  bool take(const FrameReader::DataPart& part) {
    if (part.offset != record_.size() || part.bytes.size() > size_ - record_.size()) return false;
    record_.append(reinterpret_cast<const char*>(part.bytes.data()), part.bytes.size());
    expire_after(handoff_stall_limit);
    if (record_.size() < size_) return true;
    HandoffAnswer answer;
    answer.kind = HandoffAnswer::Kind::record;
    answer.record = std::move(record_);
    answer.taken = [keep = std::static_pointer_cast<Asking>(shared_from_this())](
                       MakeFolder make_folder, std::function<void(HandedDocuments)> done) {
      keep->confirm(std::move(make_folder), std::move(done));
    };
    let_go();
    tell(std::move(answer));
    return true;
  }
  void confirm(MakeFolder make_folder, std::function<void(HandedDocuments)> done) {
    if (!connection_) {
      return boost::asio::post(io_, [done = std::move(done)] {
        done({HandedDocuments::Kind::lost, "the connection to the former residence was lost", nullptr});
      });
    }
    send(HandoffTaken{});
    take_documents(io_, give_up(), std::move(make_folder), std::move(done));
  }
  void fail(std::string why) override {
    end(false);
    HandoffAnswer answer;
    answer.kind = is_reached_ ? HandoffAnswer::Kind::broken : HandoffAnswer::Kind::unreachable;
    answer.why = std::move(why);
    tell(std::move(answer));
  }
  void tell(HandoffAnswer answer) {
    if (const auto done = std::exchange(done_, nullptr)) done(std::move(answer));
  }

  boost::asio::io_context& io_;
  std::uint64_t generation_;
  std::function<void(HandoffAnswer)> done_;
  std::string record_;
  std::size_t size_ = 0;
  bool is_reached_ = false;
};

class Giving final : public HandoffEnd {
 public:
  Giving(boost::asio::io_context& io, Handover what) : HandoffEnd(io), io_(io), what_(std::move(what)) {}

  void start(std::shared_ptr<SecureConnection> connection) {
    begin(std::move(connection));
    connection_->set_handler(this);
    send(HandoffOk{what_.generation, what_.record.size()});
    give();
  }
  void on_drained() override { give(); }

 private:
  void give() {
    expire_after(handoff_stall_limit);
    const auto record = std::as_bytes(std::span(what_.record));
    while (connection_ && connection_->takes_more() && sent_ < record.size()) {
      const auto part = record.subspan(sent_, std::min(max_data_bytes, record.size() - sent_));
      connection_->send(data_header(sent_, part.size()), {part, {}});
      sent_ += part.size();
    }
  }
  bool handle(const FrameReader::Event& event) override {
    const auto* message = std::get_if<Message>(&event);
    if (message == nullptr || !std::holds_alternative<HandoffTaken>(*message) || sent_ < what_.record.size())
      return false;
    const auto keep = shared_from_this();
    auto connection = give_up();
    if (const auto documents = tell(true)) {
      give_documents(io_, std::move(connection), *documents, what_.documents_taken);
    } else {
      connection->abort();
    }
    return true;
  }
  void fail(std::string) override {
    end(false);
    (void)tell(false);
  }
  std::optional<std::filesystem::path> tell(bool taken) {
    const auto done = std::exchange(what_.done, nullptr);
    return done ? done(taken) : std::nullopt;
  }

  boost::asio::io_context& io_;
  Handover what_;
  std::size_t sent_ = 0;
};

}  // namespace

void ask_for_handoff(boost::asio::io_context& io, const TlsIdentity& identity, std::vector<Way> ways,
                     std::uint64_t generation, std::function<void(HandoffAnswer)> done) {
  std::make_shared<Asking>(io, generation, std::move(done))->start(io, identity, std::move(ways));
}

void hand_over(boost::asio::io_context& io, std::shared_ptr<SecureConnection> connection, Handover what) {
  std::make_shared<Giving>(io, std::move(what))->start(std::move(connection));
}

void deny_handoff(SecureConnection& connection, HandoffDenial reason, std::uint64_t generation) {
  connection.send(Frame(HandoffDenied{reason, generation}).bytes());
  connection.close_after_flush();
}

}  // namespace sessionfs::fs
