#include "fs/sealed.hpp"

#include <gtest/gtest.h>

namespace sessionfs::fs {
namespace {

const std::string content = "what only its owner may know";

// To make one takes long.
const SealKey& a_key() {
  static const SealKey key = SealKey::from_passphrase("p");
  return key;
}

TEST(Sealed, OpensWithItsPassphraseAlone) {
  const std::string sealed = SealKey::from_passphrase("open sesame").seal(content);
  EXPECT_TRUE(is_sealed(sealed));
  EXPECT_EQ(sealed.find(content), std::string::npos);
  const auto opened = open_sealed(sealed, "open sesame");
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->content, content);
  EXPECT_FALSE(open_sealed(sealed, "open barley"));
  EXPECT_FALSE(open_sealed(sealed, ""));
}

TEST(Sealed, WhatHasOpenedItSealsItAgain) {
  const auto first = open_sealed(a_key().seal(content), "p");
  ASSERT_TRUE(first);
  const auto key = SealKey::from_text(first->key.text());
  ASSERT_TRUE(key);
  const auto second = open_sealed(key->seal("the next"), "p");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->content, "the next");
}

TEST(Sealed, NeverTheSameBytesTwice) { EXPECT_NE(a_key().seal(content), a_key().seal(content)); }

TEST(Sealed, BytesBehindItsEndAreIgnored) {
  const std::string sealed = a_key().seal(content);
  EXPECT_TRUE(open_sealed(sealed + std::string(4096, '\0'), "p"));
}

TEST(Sealed, TheKeyThatHasSealedItOpensIt) {
  const auto opened = open_sealed(a_key().seal(content), a_key());
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->content, content);
  EXPECT_EQ(opened->key.text(), a_key().text());
  EXPECT_FALSE(open_sealed(SealKey::from_passphrase("p").seal(content), a_key())) << "of another salt";
}

TEST(Sealed, OneWithAnyByteChangedOrCutDoesNotOpen) {
  const std::string sealed = a_key().seal(content);
  for (std::size_t at = 0; at < sealed.size(); ++at) {
    std::string changed = sealed;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(open_sealed(changed, a_key())) << at;
    EXPECT_FALSE(open_sealed(sealed.substr(0, at), a_key())) << at;
  }
  std::string changed = sealed;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  EXPECT_FALSE(open_sealed(changed, "p"));
}

TEST(Sealed, ParametersThatCostTooMuchAreRefused) {
  std::string sealed = a_key().seal(content);
  constexpr std::size_t cost_at = 6;
  for (const auto& [at, value] : {std::pair{0, 30}, std::pair{0, 0}, std::pair{1, 255}, std::pair{2, 255}}) {
    std::string dear = sealed;
    dear[cost_at + static_cast<std::size_t>(at)] = static_cast<char>(value);
    EXPECT_FALSE(open_sealed(dear, "p"));
  }
}

TEST(Sealed, AKeyOfAnotherLengthIsNone) {
  EXPECT_FALSE(SealKey::from_text(""));
  EXPECT_FALSE(SealKey::from_text(a_key().text() + "x"));
}

}  // namespace
}  // namespace sessionfs::fs
