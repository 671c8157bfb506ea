// Names of endpoints, services and sessions: what parses is valid, in lower case, bounded, and spells itself.
//
// input: a name
#include "engine/name.hpp"

#include "engine/endpoint.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace sessionfs::fuzz {
namespace {

// No name may lead out of its folder, nor break a line of a text in which it stands.
void require_harmless(std::string_view name) {
  require(!name.empty() && name.size() <= max_file_name_bytes, "a name has the size of a file name");
  require(name.front() != '.', "a name is no special file name");
  require(std::ranges::all_of(
              name, [](char c) { return c > ' ' && c < 0x7f && c != '/' && !(c >= 'A' && c <= 'Z') && c != '%'; }),
          "a name is printable, in lower case, and one component");
}

void fuzz_endpoint(std::string_view text) {
  const auto name = EndpointName::parse(text);
  require(EndpointName::parse(folded(text)) == name, "upper case means nothing");
  if (!name) return;
  require_harmless(name->str());
  require(name->str().size() <= max_whole_name_bytes, "a whole name is bounded");
  require(EndpointName::parse(name->str()) == name, "a name spells itself");
  require(std::string(name->object()) + "@" + std::string(name->domain()) == name->str(), "a name is its two parts");
  require(parse_domain(name->domain()) == name->domain(), "its domain is one");
  require(!DialName::parse(incoming_session_name("file", *name, 1)), "nobody dials a session that came in");
}

void fuzz_dial(std::string_view text) {
  const auto dial = DialName::parse(text);
  if (!dial) return;
  require_harmless(dial->str());
  require(dial->str() == folded(text), "a name to dial spells itself");
  const auto again = DialName::parse(dial->str());
  require(again && again->target == dial->target && again->label == dial->label, "parse(str(x)) is x");
  require(ServiceName::parse(dial->target.str()) == dial->target, "its target is a service");
  require(dial->label.size() <= max_label_bytes, "a label is bounded");
}

void fuzz(std::string_view text) {
  const AllocationMeter meter;
  fuzz_endpoint(text);
  fuzz_dial(text);
  if (const auto service = ServiceName::parse(text)) {
    require_harmless(service->str());
    require(service->str().size() <= max_whole_name_bytes, "a whole name is bounded");
    require(service->str() == folded(text), "a service spells itself");
    const auto dial = DialName::parse(text);
    require(dial && dial->target == *service, "a service can be dialled");
  }
  if (const auto word = parse_service_part(text)) {
    require(*word == folded(text) && parse_service_part(*word) == word, "a service's name spells itself");
    require(!word->empty() && word->size() <= max_service_bytes, "a service's name is bounded");
  }
  if (const auto domain = parse_domain(text))
    require(*domain == folded(text) && parse_domain(*domain) == domain, "a domain spells itself");
  require(meter.bytes() <= 256 * text.size() + 65536, "parsing allocates no more than the input explains");
}

}  // namespace
}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sessionfs::fuzz::fuzz(sessionfs::fuzz::text_of(sessionfs::fuzz::input_of(data, size)));
  return 0;
}
