// Records: sealed and opened by two ends that share secrets, and all the ways in which they can be wrong.
#include <gtest/gtest.h>

#include <string>

#include "fs/transport/record_protection.hpp"

namespace sessionfs::fs {
namespace {

class Record : public ::testing::TestWithParam<const char*> {
 protected:
  Record() {
    const SslCtxPtr context(SSL_CTX_new(TLS_method()));
    SSL_CTX_set_ciphersuites(context.get(), GetParam());
    ssl.reset(SSL_new(context.get()));
    for (int i = 0; i < sk_SSL_CIPHER_num(SSL_get_ciphers(ssl.get())); ++i) {
      const SSL_CIPHER* each = sk_SSL_CIPHER_value(SSL_get_ciphers(ssl.get()), i);
      if (std::string(SSL_CIPHER_get_name(each)) == GetParam()) cipher = each;
    }
    sender = std::make_unique<RecordProtection>(TrafficSecrets{cipher, secret(1), secret(2)});
    renew_receiver();
  }

  [[nodiscard]] std::vector<unsigned char> secret(unsigned char byte) const {
    return std::vector<unsigned char>(
        static_cast<std::size_t>(EVP_MD_get_size(SSL_CIPHER_get_handshake_digest(cipher))), byte);
  }
  /// A receiver that has not received anything.
  void renew_receiver() { receiver = std::make_unique<RecordProtection>(TrafficSecrets{cipher, secret(2), secret(1)}); }

  std::vector<std::byte> seal(std::string_view text, RecordType type = RecordType::application_data) {
    const auto all = std::as_bytes(std::span(text));
    const std::size_t half = all.size() / 3;
    Gather content({all.first(half), all.subspan(half, half), all.subspan(2 * half)});
    std::vector<std::byte> record(RecordProtection::sealed_size(content.size()));
    EXPECT_EQ(sender->seal(type, content, record.data()), record.size());
    EXPECT_EQ(content.size(), text.size() > max_record_content_bytes ? text.size() - max_record_content_bytes : 0);
    EXPECT_EQ(RecordProtection::record_size(record), record.size());
    return record;
  }
  std::string open(std::span<const std::byte> record) {
    std::vector<std::byte> to(record.size());
    const auto opened = receiver->open(record, to.data());
    last_type = opened.type;
    return {reinterpret_cast<const char*>(opened.content.data()), opened.content.size()};
  }

  SslPtr ssl;
  const SSL_CIPHER* cipher = nullptr;
  std::unique_ptr<RecordProtection> sender;
  std::unique_ptr<RecordProtection> receiver;
  RecordType last_type{};
};

TEST_P(Record, ComesOutAsItWentIn) {
  for (const std::size_t size : {1U, 2U, 15U, 16U, 17U, 300U, 16383U, 16384U}) {
    const std::string text(size, static_cast<char>('a' + size % 7));
    EXPECT_EQ(open(seal(text)), text);
    EXPECT_EQ(last_type, RecordType::application_data);
  }
  EXPECT_EQ(open(seal("\1", RecordType::alert)), "\1");
  EXPECT_EQ(last_type, RecordType::alert);
  EXPECT_EQ(open(seal(std::string(20000, 'x'))).size(), max_record_content_bytes);
}

TEST_P(Record, EqualContentIsSealedDifferently) { EXPECT_NE(seal("same"), seal("same")); }

TEST_P(Record, EveryAlteredBitIsFound) {
  const auto record = seal("a short one");
  for (std::size_t bit = 0; bit < record.size() * 8; ++bit) {
    auto altered = record;
    altered[bit / 8] ^= std::byte(1U << bit % 8);
    renew_receiver();
    EXPECT_THROW(open(altered), RecordError) << "bit " << bit;
  }
  renew_receiver();
  EXPECT_EQ(open(record), "a short one");
}

TEST_P(Record, DroppedRepeatedAndReorderedOnesAreFound) {
  const auto first = seal("first");
  const auto second = seal("second");
  EXPECT_THROW(open(second), RecordError);
  renew_receiver();
  EXPECT_EQ(open(first), "first");
  EXPECT_THROW(open(first), RecordError);
}

TEST_P(Record, KeysChangeTogether) {
  EXPECT_EQ(open(seal("old key")), "old key");
  sender->update_send_key();
  receiver->update_receive_key();
  EXPECT_EQ(open(seal("new key")), "new key");
  sender->update_send_key();
  EXPECT_THROW(open(seal("newer key")), RecordError);
}

TEST_P(Record, SizesAndTypesAreChecked) {
  const auto size_of = [](std::initializer_list<int> header) {
    std::vector<std::byte> bytes;
    for (const int each : header) bytes.push_back(std::byte(each));
    return RecordProtection::record_size(bytes);
  };
  EXPECT_EQ(size_of({}), std::nullopt);
  EXPECT_EQ(size_of({23, 3, 3, 0}), std::nullopt);
  EXPECT_EQ(size_of({23, 3, 3, 0, 17}), 22U);
  EXPECT_EQ(size_of({23, 3, 3, 0x41, 0x00}), 5U + 16640U);
  EXPECT_THROW(size_of({23, 3, 3, 0x41, 0x01}), RecordError);
  EXPECT_THROW(size_of({23, 3, 3, 0, 16}), RecordError);
  EXPECT_THROW(size_of({22, 3, 3, 0, 17}), RecordError);
  EXPECT_THROW(size_of({0x80, 3, 3, 0, 17}), RecordError);
}

INSTANTIATE_TEST_SUITE_P(Ciphers, Record,
                         ::testing::Values("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                           "TLS_CHACHA20_POLY1305_SHA256"));

TEST(Gathered, IsTakenInOrderAcrossItsParts) {
  const std::string_view parts[] = {"ab", "", "cdef"};
  Gather content(
      {std::as_bytes(std::span(parts[0])), std::as_bytes(std::span(parts[1])), std::as_bytes(std::span(parts[2]))});
  const auto take = [&](std::size_t limit) {
    const auto bytes = content.take(limit);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  EXPECT_EQ(content.size(), 6U);
  EXPECT_EQ(take(1), "a");
  EXPECT_EQ(take(9), "b");
  EXPECT_EQ(take(3), "cde");
  EXPECT_EQ(content.size(), 1U);
  EXPECT_EQ(take(3), "f");
  EXPECT_TRUE(content.empty());
  EXPECT_EQ(take(3), "");
}

}  // namespace
}  // namespace sessionfs::fs
