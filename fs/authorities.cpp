#include "fs/authorities.hpp"

#include <spdlog/spdlog.h>

#include <exception>

#include "fs/files.hpp"

namespace sessionfs::fs {

std::filesystem::path Authorities::file_of(std::string_view domain) const {
  return folder_ / (std::string(domain) + ".pem");
}

sns::Certificate Authorities::get(std::string_view domain) {
  const auto file = file_of(domain);
  const auto found = known_.find(domain);
  if (found != known_.end() && !found->second.in_file) return found->second.certificate;
  std::error_code none;
  if (!std::filesystem::exists(file, none)) {
    if (found != known_.end()) known_.erase(found);
    return {};
  }
  if (found != known_.end()) return found->second.certificate;
  try {
    auto certificate = sns::Certificate::from_pem(read_file(file, sns::max_pem_bytes));
    remember(std::string(domain), {certificate, true});
    return certificate;
  } catch (const std::exception& error) {
    spdlog::error("{}: holds no certificate and is not used: {}", file.string(), error.what());
    return {};
  }
}

X509* Authorities::find(std::string_view domain) { return get(domain).get(); }

void Authorities::set(const std::string& domain, const sns::Certificate& certificate) {
  known_[domain] = {certificate, false};
}

void Authorities::remember(const std::string& domain, const Known& known) {
  if (known_.size() >= max_authorities_in_memory)
    std::erase_if(known_, [](const auto& each) { return each.second.in_file; });
  known_[domain] = known;
}

void Authorities::learn(const std::string& domain, const sns::Certificate& certificate) {
  if (!certificate || get(domain) || std::filesystem::exists(file_of(domain))) return;
  bool in_file = false;
  try {
    std::filesystem::create_directories(folder_);
    replace_file(file_of(domain), certificate.pem());
    in_file = true;
    spdlog::info("{}: its authority is believed from now on: {}", domain, file_of(domain).string());
  } catch (const std::exception& error) {
    spdlog::error("{}: its authority cannot be kept: {}", domain, error.what());
  }
  remember(domain, {certificate, in_file});
}

}  // namespace sessionfs::fs
