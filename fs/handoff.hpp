// The handoff: a new residence of an endpoint asks the former one for the latest state (engine/PROTOCOL.md,
// Residences).
//
// Both ends prove to be the endpoint itself. The asking end has claimed its generation before; the answering end has
// frozen the endpoint before it answers, and lets go of it when the asking end has said that all is stored.
#pragma once

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/wire.hpp"
#include "fs/handoff_documents.hpp"
#include "fs/transport/dial.hpp"

namespace sessionfs::fs {

/// To find the former residence, and its proof of its name. Who does not answer in time cannot be reached.
inline constexpr std::chrono::milliseconds handoff_reach_limit{4000};
/// Once it is reached: without an answer (it may have much to write down), without a byte of the record, or without the
/// word that it is stored.
inline constexpr std::chrono::milliseconds handoff_stall_limit{10000};

struct HandoffAnswer {
  enum class Kind : std::uint8_t {
    record,
    denied,
    unreachable,
    broken,  // it was reached, and may have a later state, which has not come whole
  };
  Kind kind = Kind::unreachable;
  std::string record;      // encoded
  HandoffDenial denial{};  // of `denied`
  std::string why;         // of `unreachable` and `broken`, for people
  /// Of `record`: tells the former residence that it is stored, and takes its documents, as take_documents(); to be
  /// called once. When all copies of it are gone and none was called, the former residence knows that it is not taken.
  std::function<void(MakeFolder make_folder, std::function<void(HandedDocuments)> done)> taken;
};

/// What is handed over.
struct Handover {
  std::uint64_t generation = 0;  // of the residence whose `record` it is
  std::string record;
  /// Whether the new residence has stored it; called once, later. The folder of the documents that it gets then; empty:
  /// there are none; nothing: they cannot be told apart now.
  std::function<std::optional<std::filesystem::path>(bool taken)> done;
  /// It has stored those, too.
  std::function<void()> documents_taken;
};

/// Asks at one of `ways`, as `identity`, for the state for the residence of `generation`. `done` is called once, later.
void ask_for_handoff(boost::asio::io_context& io, const TlsIdentity& identity, std::vector<Way> ways,
                     std::uint64_t generation, std::function<void(HandoffAnswer)> done);

/// Answers on `connection`.
void hand_over(boost::asio::io_context& io, std::shared_ptr<SecureConnection> connection, Handover what);

/// Answers that there is nothing to hand over; `generation` 0: it does not reside here.
void deny_handoff(SecureConnection& connection, HandoffDenial reason, std::uint64_t generation);

}  // namespace sessionfs::fs
