#include "fs/membership_file.hpp"

#include <toml++/toml.h>

#include <sstream>
#include <stdexcept>

#include "fs/files.hpp"

namespace sessionfs::fs {
namespace {

constexpr std::size_t max_membership_bytes = 64 * 1024;

std::string text_of(const toml::table& table, const char* key) {
  const auto text = table[key].value<std::string>();
  if (!text) throw std::runtime_error(std::string("it has no ") + key);
  return *text;
}

}  // namespace

void save_membership(const std::filesystem::path& file, const sns::Membership& membership) {
  toml::array servers;
  for (const auto& server : membership.servers) servers.push_back(server);
  const toml::table table{
      {"domain", membership.domain},
      {"servers", servers},
      {"member_id", static_cast<std::int64_t>(membership.member_id)},
      {"authority", membership.ca.pem()},
      {"member_key", membership.member_key.pem()},
      {"member_certificate", membership.member_certificate.pem()},
  };
  std::ostringstream text;
  text << table << "\n";
  replace_file(file, text.str());
}

sns::Membership load_membership(const std::filesystem::path& file) {
  const std::string text = read_file(file, max_membership_bytes);
  try {
    const toml::table table = toml::parse(text);
    sns::Membership membership;
    membership.domain = text_of(table, "domain");
    if (const auto* servers = table["servers"].as_array()) {
      for (const auto& server : *servers) membership.servers.push_back(server.value_or(std::string()));
    }
    membership.member_id = static_cast<sns::MemberId>(table["member_id"].value_or(std::int64_t{0}));
    membership.ca = sns::Certificate::from_pem(text_of(table, "authority"));
    membership.member_key = sns::KeyPair::from_pem(text_of(table, "member_key"));
    membership.member_certificate = sns::Certificate::from_pem(text_of(table, "member_certificate"));
    return membership;
  } catch (const std::exception& error) {
    throw std::runtime_error(file.string() + " is damaged (" + one_line(error.what()) +
                             "); remove it and join the domain again");
  }
}

}  // namespace sessionfs::fs
