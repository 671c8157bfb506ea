// The configuration file.
//
// input: the text of the file
#include "fs/config.hpp"

#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {
namespace {

using namespace fs;

void require_one_line(std::string_view message) {
  require(!message.empty(), "an error says something");
  require(std::ranges::all_of(message, [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != 0x7f; }),
          "an error is one line");
}

void require_address(const HostPort& address) {
  require(!address.host.empty(), "an address has a host");
  const auto again = HostPort::parse(address.str(), 1);
  require(again && again->host == address.host && again->port == address.port, "parse(str(x)) is x");
}

void fuzz_file(std::string_view text) {
  const MemoryFile file(text);
  try {
    const Config config = Config::load(file.path());
    require(parse_domain(config.domain) == config.domain, "the domain is valid");
    require(!config.endpoint.empty() && config.endpoint.domain() == config.domain, "the endpoint is of the domain");
    require(config.buffer_bytes >= min_buffer_bytes && config.buffer_bytes <= max_buffer_bytes, "buffers are bounded");
    require(config.buffer_bytes % min_buffer_bytes == 0, "buffers are whole pages");
    require(config.save_grace.count() >= 0 && config.save_grace <= max_duration, "times are bounded");
    require_address(config.listen);
    for (const auto& [domain, address] : config.sns) {
      require(parse_domain(domain) == domain, "domains of name servers are valid");
      require_address(address);
    }
  } catch (const ConfigError& error) {
    require_one_line(error.what());
  }
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sessionfs::fuzz;
  const auto text = text_of(input_of(data, size));
  fuzz_file(text);
  if (const auto address = sessionfs::fs::HostPort::parse(text, 4700)) require_address(*address);
  return 0;
}
