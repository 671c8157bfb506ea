// What the tests of backups share.
#pragma once

#include <algorithm>
#include <fstream>

#include "sns/backup.hpp"
#include "tests/sns/fixtures.hpp"

namespace sessionfs::sns {

using ::testing::HasSubstr;

inline constexpr std::string_view a_key_of_ones = "1111111111111111111111111111111111111111111111111111111111111111";
inline constexpr std::string_view a_key_of_twos = "2222222222222222222222222222222222222222222222222222222222222222";

class BackupFixture : public ::testing::Test {
 protected:
  std::filesystem::path folder(const std::string& name) const { return folder_.path() / name; }
  static std::string write(const Storage& storage) {
    std::string text;
    write_backup(storage, [&](std::string_view piece) { text += piece; });
    return text;
  }
  // `room`: how much is given at once, at most.
  BackupCounts read(const std::string& text, const std::string& name, std::size_t room = backup_piece_bytes,
                    const std::string& domain = "") const {
    std::string_view rest = text;
    const auto source = [&](std::span<char> into) {
      const auto count = std::min({into.size(), rest.size(), room});
      std::copy_n(rest.begin(), count, into.begin());
      rest.remove_prefix(count);
      return count;
    };
    return read_backup(source, folder(name), domain, real_time());
  }
  // Why it is refused; and that nothing is left of it.
  std::string why_not(const std::string& text, const std::string& domain = "") const {
    try {
      read(text, "refused", backup_piece_bytes, domain);
    } catch (const std::runtime_error& error) {
      EXPECT_FALSE(std::filesystem::exists(folder("refused"))) << error.what();
      return error.what();
    }
    std::filesystem::remove_all(folder("refused"));
    return "";
  }
  // A name server of verkstad.net with a bit of everything.
  Storage filled() const {
    Storage storage = Storage::open(folder("filled"), "verkstad.net", real_time());
    const auto first = storage.admit(KeyPair::generate().public_key(), test_time);
    const auto second = storage.admit(KeyPair::generate().public_key(), test_time + std::chrono::hours(1));
    EXPECT_TRUE(storage.revoke_member(first, test_time + std::chrono::hours(2)));
    const auto key = KeyPair::generate().public_key();
    const auto alice = endpoint("alice@verkstad.net");
    storage.store(NewEndpoint{alice, key, at(max_generation, 0xab), {v6(1, 4700), v4(1, 1), v6(9, 65535)}}, second,
                  test_time);
    storage.store(NewService{{"file", alice}, at(max_generation, 0xab), 0}, 0, test_time);
    storage.store(NewService{{"a-b_c", alice}, at(max_generation, 0xab), 65535}, 0, test_time);
    const auto gone = endpoint("gone@verkstad.net");
    storage.store(NewEndpoint{gone, key, at(0, 0), {}}, 0, test_time + std::chrono::hours(3));
    storage.store_away(gone, test_time + std::chrono::hours(4));
    const auto stolen = endpoint("stolen.1@verkstad.net");
    storage.store(NewEndpoint{stolen, key, at(2), {v4(2, 2)}}, first, test_time);
    storage.store(RevokeEndpoint{stolen}, 0, test_time + std::chrono::hours(5));
    return storage;
  }
  // The start of a text with a new authority, and a member 1.
  static std::string head(const std::string& domain = "verkstad.net", UnixTime now = real_time()) {
    const auto authority = Authority::create(domain, now);
    return "sessionfs-names 1\ndomain " + domain + "\nauthority certificate\n" + authority.certificate().pem() +
           "authority key\n" + authority.key_pem() + "member 1 key=" + std::string(a_key_of_ones) +
           " joined=2026-11-23T17:05:00Z\n";
  }
  static std::string line_of(const std::string& name, const std::string& more = "", const std::string& member = "1") {
    return "endpoint " + name + "@verkstad.net key=" + std::string(a_key_of_twos) +
           " generation=1 mark=00000000000000000000000000000000 member=" + member + " changed=2026-11-23T17:05:00Z" +
           more + "\n";
  }

  TemporaryFolder folder_;
};

}  // namespace sessionfs::sns
