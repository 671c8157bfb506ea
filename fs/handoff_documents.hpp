// The second part of a handoff: when the record has been taken, the documents follow on the same connection, as tar(1)
// packs them (engine/PROTOCOL.md, Residences).
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "fs/transport/connection.hpp"

namespace sessionfs::fs {

/// So many bytes may be under way that nobody has unpacked yet.
inline constexpr std::uint64_t documents_window_bytes = std::uint64_t{4} << 20;
/// An end of which nothing is heard for this long is given up; storage may be slow.
inline constexpr std::chrono::seconds documents_stall_limit{60};
/// Who is at work without a byte to tell of says so.
inline constexpr std::chrono::seconds documents_word_interval{10};

struct HandedDocuments {
  enum class Kind : std::uint8_t {
    none,    // the former residence keeps none
    all,     // they are in the folder
    lost,    // the connection was lost on the way: the former residence has them still
    failed,  // they find no place here: the same
  };
  Kind kind = Kind::none;
  std::string why;  // of `lost` and `failed`, for people
  /// Of `all`: tells the former residence that they are stored. When all copies of it are gone and it was not called,
  /// the former residence knows that they are not.
  std::function<void()> stored;
};

/// Sends what is in `folder`, but for the names that are reserved at its top; an empty path: nothing. `taken` is
/// called, at most once, when the other end has stored it.
void give_documents(boost::asio::io_context& io, std::shared_ptr<SecureConnection> connection,
                    const std::filesystem::path& folder, std::function<void()> taken);

/// Makes the folder that they are unpacked into, if any come; nobody else must be able to put something into it. Throws
/// std::exception.
using MakeFolder = std::function<std::filesystem::path()>;

/// Unpacks what comes. The folder is the caller's afterwards, whole or not. `done` is called once, later.
void take_documents(boost::asio::io_context& io, std::shared_ptr<SecureConnection> connection, MakeFolder make_folder,
                    std::function<void(HandedDocuments)> done);

}  // namespace sessionfs::fs
