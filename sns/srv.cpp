#include "sns/srv.hpp"

#include <ares.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

#include "engine/name.hpp"

namespace sessionfs::sns {
namespace {

constexpr std::uint16_t type_cname = 5;            // RFC 1035, 3.2.2
constexpr std::size_t dns_header_bytes = 12;       // RFC 1035, 4.1.1
constexpr std::uint16_t max_answer_records = 128;  // of any type
constexpr std::uint32_t max_ttl_s = 0x7fffffff;    // RFC 2181, 8: a larger one counts as 0

// Reads a message from its start to its end. Once something is not there, nothing more is: ok() is false.
class MessageReader {
 public:
  explicit MessageReader(std::span<const std::uint8_t> message) : message_(message) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t place() const { return place_; }
  void skip(std::size_t bytes) {
    if (take(bytes)) place_ += bytes;
  }
  std::uint16_t u16() {
    if (!take(2)) return 0;
    const auto value = static_cast<std::uint16_t>(message_[place_] << 8 | message_[place_ + 1]);
    place_ += 2;
    return value;
  }
  std::uint32_t u32() {
    const std::uint32_t high = u16();
    return high << 16 | u16();
  }
  // A name, which may go on elsewhere in the message (RFC 1035, 4.1.4). Empty: the root, or not ok().
  std::string name() {
    char* text = nullptr;
    long bytes = 0;
    if (!take(1) || ares_expand_name(message_.data() + place_, message_.data(), static_cast<int>(message_.size()),
                                     &text, &bytes) != ARES_SUCCESS) {
      ok_ = false;
      return {};
    }
    const std::unique_ptr<char, decltype(&ares_free_string)> owner(text, &ares_free_string);
    skip(static_cast<std::size_t>(bytes));
    return text;
  }

 private:
  bool take(std::size_t bytes) {
    ok_ = ok_ && bytes <= message_.size() - place_;
    return ok_;
  }
  std::span<const std::uint8_t> message_;
  std::size_t place_ = 0;
  bool ok_ = true;
};

void add(SrvAnswer& answer, MessageReader& reader) {
  SrvRecord record;
  record.priority = reader.u16();
  record.weight = reader.u16();
  record.port = reader.u16();
  const auto target = reader.name();
  if (!reader.ok()) return;
  answer.any = true;
  if (target.empty()) answer.none_offered = true;
  const auto host = parse_domain(target);
  if (!host || record.port == 0) return;
  record.target = *host;
  answer.records.push_back(std::move(record));
}

}  // namespace

std::optional<SrvAnswer> parse_srv_answer(std::span<const std::uint8_t> message) {
  if (message.size() > UINT16_MAX) return std::nullopt;
  SrvAnswer answer;
  MessageReader reader(message);
  reader.skip(4);
  const auto questions = reader.u16();
  const auto answers = reader.u16();
  reader.skip(dns_header_bytes - 8);
  if (questions != 1) return std::nullopt;
  reader.name();
  reader.skip(4);
  for (std::uint16_t i = 0; i < std::min(answers, max_answer_records) && reader.ok(); ++i) {
    if (answer.records.size() == max_srv_records) break;
    reader.name();
    const auto type = reader.u16();
    const auto record_class = reader.u16();
    const auto ttl = reader.u32();
    const auto bytes = reader.u16();
    const auto end = reader.place() + bytes;
    if (record_class == dns_class_internet && (type == dns_type_srv || type == type_cname)) {
      answer.ttl = std::min(answer.ttl, std::chrono::seconds(ttl > max_ttl_s ? 0 : ttl));
    }
    if (record_class == dns_class_internet && type == dns_type_srv) {
      add(answer, reader);
      if (reader.place() != end) return std::nullopt;
    } else {
      reader.skip(bytes);
    }
  }
  if (!reader.ok()) return std::nullopt;
  return answer;
}

std::vector<SrvRecord> in_order(std::vector<SrvRecord> records, std::mt19937_64& random) {
  // Those without weight first: else nothing but a drawn 0 would ever choose them.
  std::ranges::stable_sort(records, {}, [](const SrvRecord& r) { return std::pair(r.priority, r.weight != 0); });
  for (auto first = records.begin(); first != records.end(); ++first) {
    const auto end =
        std::ranges::find_if(first, records.end(), [&](const SrvRecord& r) { return r.priority != first->priority; });
    std::uint64_t sum = 0;
    for (auto record = first; record != end; ++record) sum += record->weight;
    auto drawn = std::uniform_int_distribution<std::uint64_t>(0, sum)(random);
    auto chosen = first;
    while (chosen + 1 != end && drawn > chosen->weight) drawn -= (chosen++)->weight;
    std::rotate(first, chosen, chosen + 1);
  }
  return records;
}

}  // namespace sessionfs::sns
