#include "engine/access.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

namespace sessionfs::test {
namespace {

EndpointName peer(std::string_view text) { return EndpointName::parse(text).value(); }

Access rules(std::string_view text) { return std::get<Access>(Access::parse(text)); }

RuleError error_of(std::string_view text) { return std::get<RuleError>(Access::parse(text)); }

TEST(Glob, StarsAndQuestionMarks) {
  EXPECT_TRUE(glob_match("", ""));
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_TRUE(glob_match("*", "anything"));
  EXPECT_TRUE(glob_match("a*c", "abbbc"));
  EXPECT_TRUE(glob_match("a*c", "ac"));
  EXPECT_TRUE(glob_match("*@verkstad.net", "a.b@verkstad.net"));
  EXPECT_TRUE(glob_match("a?c", "abc"));
  EXPECT_TRUE(glob_match("*ab*ab*", "xabyabz"));
  EXPECT_FALSE(glob_match("", "a"));
  EXPECT_FALSE(glob_match("a?c", "ac"));
  EXPECT_FALSE(glob_match("a*c", "acb"));
  EXPECT_FALSE(glob_match("*@verkstad.net", "a@verkstad.net.evil"));
  EXPECT_FALSE(glob_match("?", ""));
}

TEST(Glob, ManyStarsCostNoTime) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  EXPECT_FALSE(glob_match(pattern + "b", std::string(5000, 'a')));
}

// The definition, spelled out: slow and plain.
bool matches(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') return matches(pattern.substr(1), text) || (!text.empty() && matches(pattern, text.substr(1)));
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) && matches(pattern.substr(1), text.substr(1));
}

RC_GTEST_PROP(Glob, IsWhatItsDefinitionSays, ()) {
  const auto pattern = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("aab?*")));
  const auto text = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("aab")));
  RC_ASSERT(glob_match(pattern.substr(0, 12), text.substr(0, 14)) ==
            matches(pattern.substr(0, 12), text.substr(0, 14)));
}

TEST(Access, TheFirstMatchWins) {
  const Access access = rules("allow file alice@home.test\ndeny file *@home.test\nallow f?le *\ndeny * *\n");
  EXPECT_TRUE(access.allows("file", peer("alice@home.test")));
  EXPECT_FALSE(access.allows("file", peer("bob@home.test")));
  EXPECT_TRUE(access.allows("file", peer("bob@work.test")));
  EXPECT_TRUE(access.allows("fxle", peer("bob@home.test")));
  EXPECT_FALSE(access.allows("print", peer("alice@home.test")));
}

TEST(Access, WithoutAMatchEverybodyMay) {
  EXPECT_TRUE(rules("").allows("file", peer("a@b")));
  EXPECT_TRUE(rules("deny print *").allows("file", peer("a@b")));
}

TEST(Access, CommentsBlanksAndCaseDoNotMatter) {
  const Access access = rules("# nobody\n\n \t deny\tFile   ALICE@home.test # but her\r\n");
  EXPECT_FALSE(access.allows("file", peer("alice@home.test")));
}

TEST(Access, AnErrorNamesItsLine) {
  EXPECT_EQ(error_of("permit file *").line, 1U);
  EXPECT_EQ(error_of("allow file *\n\n# x\ndeny file\n").line, 4U);
  EXPECT_EQ(error_of("allow file * *").line, 1U);
  EXPECT_EQ(error_of("allow").line, 1U);
  EXPECT_EQ(error_of("allow file *\nALLOW file *").line, 2U);
  EXPECT_EQ(error_of("allow file \x01").line, 1U);
  EXPECT_EQ(error_of("allow f\xc3\xa9 *").line, 1U);
  EXPECT_FALSE(error_of("allow").reason.empty());
}

TEST(Access, IsBounded) {
  EXPECT_TRUE(std::holds_alternative<Access>(Access::parse(std::string(max_rules_bytes, '\n'))));
  EXPECT_TRUE(std::holds_alternative<RuleError>(Access::parse(std::string(max_rules_bytes + 1, '\n'))));
}

RC_GTEST_PROP(Access, AnyTextIsRulesOrAnError, ()) {
  const auto text = *rc::gen::container<std::string>(
      rc::gen::oneOf(rc::gen::arbitrary<char>(), rc::gen::elementOf(std::string("\n\n# *?@ allowdeny"))));
  const auto result = Access::parse(text);
  if (const auto* error = std::get_if<RuleError>(&result))
    RC_ASSERT(error->line >= 1 && error->line <= 1U + static_cast<std::size_t>(std::ranges::count(text, '\n')));
}

}  // namespace
}  // namespace sessionfs::test
