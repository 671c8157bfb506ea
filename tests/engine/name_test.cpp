#include "engine/name.hpp"

#include <gtest/gtest.h>

namespace sessionfs::test {
namespace {

std::string repeated(std::size_t count, char c = 'a') { return std::string(count, c); }

TEST(EndpointName, IsFoldedAndSplit) {
  const auto name = EndpointName::parse("Storage-2.x_y@Verkstad.NET");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->str(), "storage-2.x_y@verkstad.net");
  EXPECT_EQ(name->object(), "storage-2.x_y");
  EXPECT_EQ(name->domain(), "verkstad.net");
  EXPECT_EQ(*name, EndpointName::parse("storage-2.x_y@verkstad.net"));
  EXPECT_TRUE(EndpointName().empty());
}

TEST(EndpointName, TakesWhatTheRulesAllow) {
  const std::string longest_domain = repeated(63) + "." + repeated(63) + "." + repeated(9);
  for (const std::string& good :
       {std::string("a@b"), std::string("1@2"), std::string("a..b@c"), repeated(63) + "@local",
        repeated(62) + "@" + longest_domain, std::string("a@xn--bcher-kva.example")})
    EXPECT_TRUE(EndpointName::parse(good)) << good;
}

TEST(EndpointName, RefusesWhatTheyDoNot) {
  for (const std::string& bad : {std::string(),
                                 std::string("@"),
                                 std::string("a@"),
                                 std::string("@b"),
                                 std::string("ab"),
                                 std::string("a@b@c"),
                                 std::string("-a@b"),
                                 std::string("a-@b"),
                                 std::string(".a@b"),
                                 std::string("a_@b"),
                                 std::string("a b@c"),
                                 std::string("a~b@c"),
                                 std::string("a/b@c"),
                                 std::string("\xc3\xa9@c"),
                                 std::string("a@b..c"),
                                 std::string("a@.b"),
                                 std::string("a@b."),
                                 std::string("a@-b"),
                                 std::string("a@b-"),
                                 std::string("a@b_c"),
                                 std::string("a@b\n"),
                                 std::string("a@b\0", 4),
                                 repeated(64) + "@b",
                                 "a@" + repeated(64),
                                 "a@" + repeated(63) + "." + repeated(63) + "." + repeated(63) + "." + repeated(10)})
    EXPECT_FALSE(EndpointName::parse(bad)) << bad;
}

TEST(ServiceName, EndsAtTheFirstDot) {
  const auto name = ServiceName::parse("Print.Office.2@Example.com");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->service, "print");
  EXPECT_EQ(name->endpoint.str(), "office.2@example.com");
  EXPECT_EQ(name->str(), "print.office.2@example.com");
  for (const char* bad : {"", "print", "print@example.com", ".office@example.com", "pr int.office@example.com",
                          "print.@example.com", "print.office", "print~1.office@example.com"})
    EXPECT_FALSE(ServiceName::parse(bad)) << bad;
  EXPECT_TRUE(ServiceName::parse(repeated(63) + ".a@b"));
  EXPECT_FALSE(ServiceName::parse(repeated(64) + ".a@b"));
}

TEST(DialName, MayHaveALabel) {
  const auto plain = DialName::parse("file.a@b");
  ASSERT_TRUE(plain);
  EXPECT_TRUE(plain->label.empty());
  EXPECT_EQ(plain->str(), "file.a@b");
  const auto labelled = DialName::parse("file.a@b~Second_1");
  ASSERT_TRUE(labelled);
  EXPECT_EQ(labelled->label, "second_1");
  EXPECT_EQ(labelled->str(), "file.a@b~second_1");
  EXPECT_TRUE(DialName::parse("file.a@b~" + repeated(32)));
  for (const std::string& bad : {std::string("file.a@b~"), "file.a@b~" + repeated(33), std::string("file.a@b~x~y"),
                                 std::string("file.a@b~x.y"), std::string("~x"), std::string("file~a@b~1")})
    EXPECT_FALSE(DialName::parse(bad)) << bad;
}

TEST(SessionFileName, OfEveryValidNameFitsAFileName) {
  const std::string domain = repeated(63) + "." + repeated(63) + "." + repeated(8);
  const auto longest = EndpointName::parse(repeated(63) + "@" + domain);
  ASSERT_TRUE(longest);
  EXPECT_LE(incoming_session_name(repeated(20), *longest, 1).size(), max_file_name_bytes);
  const auto dial = DialName::parse("file." + repeated(58) + "@" + domain + "~" + repeated(32));
  ASSERT_TRUE(dial);
  EXPECT_LE(dial->str().size(), max_file_name_bytes);
}

TEST(SessionFileName, OfOneThatCameInIsNoDialName) {
  const auto peer = EndpointName::parse("client@verkstad.net").value();
  EXPECT_EQ(incoming_session_name("file", peer, 12), "file~client@verkstad.net~12");
  EXPECT_FALSE(DialName::parse("file~client@verkstad.net~12"));
}

TEST(Name, TooLongIsNoName) {
  const std::string long_text(max_whole_name_bytes + 1, 'a');
  EXPECT_FALSE(parse_domain(long_text));
  EXPECT_FALSE(ServiceName::parse("file." + long_text));
  EXPECT_FALSE(EndpointName::parse(long_text + "@local"));
}

}  // namespace
}  // namespace sessionfs::test
