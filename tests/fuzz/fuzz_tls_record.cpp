// TLS 1.3 records: a stream from anywhere, and the content that somebody with the key may put into a record.
//
// input: 1 byte, 0: a stream of bytes follows; else the content of a record, which is sealed here
#include <memory>
#include <optional>

#include "fs/transport/record_protection.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {
namespace {

using namespace fs;

const SSL_CIPHER* cipher() {
  static const SslCtxPtr context(SSL_CTX_new(TLS_method()));
  static const SslPtr ssl(SSL_new(context.get()));
  static const SSL_CIPHER* found = SSL_CIPHER_find(ssl.get(), reinterpret_cast<const unsigned char*>("\x13\x01"));
  require(found != nullptr, "there is TLS_AES_128_GCM_SHA256");
  return found;
}

std::unique_ptr<RecordProtection> end(unsigned char sends, unsigned char receives) {
  using Secret = std::vector<unsigned char>;
  return std::make_unique<RecordProtection>(TrafficSecrets{cipher(), Secret(32, sends), Secret(32, receives)});
}

// What a peer without the key sends: nothing of it is ever opened.
void fuzz_stream(Bytes stream) {
  const auto receiver = end(2, 1);
  try {
    while (const auto size = RecordProtection::record_size(stream)) {
      require(*size >= record_overhead_bytes && *size <= record_header_bytes + max_record_payload_bytes,
              "a record has a size that is allowed");
      if (*size > stream.size()) return;
      std::vector<std::byte> to(*size);
      (void)receiver->open(stream.first(*size), to.data());
      require(false, "a record cannot be forged");
    }
  } catch (const RecordError& error) {
    require(std::string_view(error.what()).find('\n') == std::string_view::npos, "an error is one line");
  }
}

std::vector<std::byte> seal(RecordProtection& sender, RecordType type, Bytes content) {
  const std::size_t third = content.size() / 3;
  Gather gather({content.first(third), content.subspan(third, third), content.subspan(2 * third)});
  std::vector<std::byte> record(RecordProtection::sealed_size(content.size()));
  require(sender.seal(type, gather, record.data()) == record.size() && gather.empty(), "all is sealed");
  return record;
}

// With the key: content, its type, and zeros behind them as padding.
void fuzz_content(std::uint8_t type, Bytes content) {
  const auto sender = end(1, 2);
  const auto receiver = end(2, 1);
  content = content.first(std::min(content.size(), max_record_content_bytes));
  const auto record = seal(*sender, static_cast<RecordType>(type), content);
  require(RecordProtection::record_size(record) == record.size(), "a record says its size");
  std::vector<std::byte> to(record.size());
  // A type of 0 is padding too: what is before it is the type then.
  std::optional<std::size_t> type_at;
  for (std::size_t i = 0; i < content.size(); ++i)
    if (content[i] != std::byte{0}) type_at = i;
  if (type != 0) type_at = content.size();
  try {
    const auto opened = receiver->open(record, to.data());
    require(type_at && std::ranges::equal(opened.content, content.first(*type_at)), "what is opened was sealed");
    require(
        static_cast<std::uint8_t>(opened.type) == (type != 0 ? type : std::to_integer<std::uint8_t>(content[*type_at])),
        "a record keeps its type");
  } catch (const RecordError&) {
    require(!type_at, "a record with a type can be opened");
  }
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sessionfs::fuzz;
  Choices choices(input_of(data, size));
  const std::uint8_t type = choices.byte();
  if (type == 0) {
    fuzz_stream(choices.rest());
  } else {
    fuzz_content(static_cast<std::uint8_t>(type - 1), choices.rest());
  }
  return 0;
}
