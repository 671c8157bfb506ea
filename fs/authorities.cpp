#include "fs/authorities.hpp"

#include <spdlog/spdlog.h>

#include <exception>

#include "fs/files.hpp"

namespace sessionfs::fs {

std::filesystem::path Authorities::file_of(std::string_view domain) const {
  return folder_ / (std::string(domain) + ".pem");
}

sns::Certificate Authorities::get(std::string_view domain) {
  if (const auto found = known_.find(domain); found != known_.end()) return found->second;
  const auto file = file_of(domain);
  std::error_code none;
  if (!std::filesystem::exists(file, none)) return {};
  try {
    auto certificate = sns::Certificate::from_pem(read_file(file, sns::max_pem_bytes));
    if (known_.size() < max_authorities_in_memory) known_[std::string(domain)] = certificate;
    return certificate;
  } catch (const std::exception& error) {
    spdlog::error("{}: holds no certificate and is not used: {}", file.string(), error.what());
    return {};
  }
}

X509* Authorities::find(std::string_view domain) { return get(domain).get(); }

void Authorities::set(const std::string& domain, const sns::Certificate& certificate) { known_[domain] = certificate; }

void Authorities::learn(const std::string& domain, const sns::Certificate& certificate) {
  if (!certificate || known_.contains(domain) || std::filesystem::exists(file_of(domain))) return;
  known_[domain] = certificate;
  try {
    std::filesystem::create_directories(folder_);
    replace_file(file_of(domain), certificate.pem());
    spdlog::info("{}: its authority is believed from now on: {}", domain, file_of(domain).string());
  } catch (const std::exception& error) {
    spdlog::error("{}: its authority cannot be kept: {}", domain, error.what());
  }
}

}  // namespace sessionfs::fs
