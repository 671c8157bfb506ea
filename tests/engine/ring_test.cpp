#include "engine/ring.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/engine/text.hpp"
#include "tests/sim/memory_store.hpp"

namespace sessionfs::test {
namespace {

// Counts what is asked of it, and can be full.
class CountingMemory final : public Memory {
 public:
  struct Counts {
    std::size_t reserved = 0;
    std::size_t releases = 0;
    std::size_t available = SIZE_MAX;
  };
  CountingMemory(std::size_t capacity, Counts& counts) : heap_(capacity), counts_(counts) {}
  std::span<std::byte> bytes() noexcept override { return heap_.bytes(); }
  bool reserve(std::size_t count) noexcept override {
    if (count > counts_.available) return false;
    counts_.reserved = std::max(counts_.reserved, count);
    return true;
  }
  void release() noexcept override {
    ++counts_.releases;
    counts_.reserved = 0;
  }

 private:
  HeapMemory heap_;
  Counts& counts_;
};

TEST(Ring, FillsUpAndTakesNoMore) {
  Ring ring(std::make_unique<HeapMemory>(8));
  EXPECT_EQ(ring.push(bytes_of("0123456789")), 8U);
  EXPECT_EQ(ring.space(), 0U);
  EXPECT_EQ(ring.push(bytes_of("x")), 0U);
  EXPECT_EQ(text_of(ring.peek(0, 8)), "01234567");
}

TEST(Ring, WrapsAroundItsEnd) {
  Ring ring(std::make_unique<HeapMemory>(8));
  (void)ring.push(bytes_of("012345"));
  ring.pop(4);
  EXPECT_EQ(ring.push(bytes_of("abcdefgh")), 6U);
  const Parts parts = ring.peek(1, 6);
  EXPECT_EQ(text_of(parts), "5abcde");
  EXPECT_EQ(parts[1].size(), 3U);
}

TEST(Ring, AnEmptyOneStartsAgainAtTheFront) {
  Ring ring(std::make_unique<HeapMemory>(8));
  for (int i = 0; i < 20; ++i) {
    (void)ring.push(bytes_of("abc"));
    EXPECT_EQ(ring.start(), 0U);
    ring.pop(3);
  }
}

TEST(Ring, GoesOnOverTheSameMemory) {
  const auto kept = std::make_shared<test::Bytes>(8);
  const auto full = std::make_shared<bool>(false);
  Ring first(std::make_unique<test::KeptMemory>(kept, full));
  (void)first.push(bytes_of("01234567"));
  first.pop(5);
  (void)first.push(bytes_of("89"));
  Ring second(std::make_unique<test::KeptMemory>(kept, full), first.start(), first.size());
  EXPECT_EQ(text_of(second.peek(0, 5)), "56789");
}

TEST(Ring, ReservesWhatItUsesAndGivesItBackWhenItIsEmpty) {
  CountingMemory::Counts counts;
  Ring ring(std::make_unique<CountingMemory>(1 << 20, counts));
  (void)ring.push(bytes_of("small"));
  EXPECT_LE(counts.reserved, 4096U);
  EXPECT_FALSE(ring.trimmable());
  (void)ring.push(bytes_of(std::string(100000, 'x')));
  EXPECT_GE(counts.reserved, 100005U);
  ring.trim();
  EXPECT_EQ(counts.releases, 0U) << "it is not empty";
  ring.pop(100005);
  EXPECT_TRUE(ring.trimmable());
  ring.trim();
  EXPECT_EQ(counts.releases, 1U);
  EXPECT_FALSE(ring.trimmable());
  (void)ring.push(bytes_of("again"));
  EXPECT_EQ(text_of(ring.peek(0, 5)), "again");
  EXPECT_GT(counts.reserved, 0U);
}

TEST(Ring, ASmallOneIsKept) {
  CountingMemory::Counts counts;
  Ring ring(std::make_unique<CountingMemory>(1 << 20, counts));
  (void)ring.push(bytes_of(std::string(Ring::kept_when_empty_bytes, 'x')));
  ring.pop(Ring::kept_when_empty_bytes);
  EXPECT_FALSE(ring.trimmable());
}

TEST(Ring, WithoutRoomItTakesLessAndLosesNothing) {
  CountingMemory::Counts counts;
  counts.available = 4096;
  Ring ring(std::make_unique<CountingMemory>(1 << 20, counts));
  EXPECT_EQ(ring.push(bytes_of(std::string(4096, 'a'))), 4096U);
  EXPECT_EQ(ring.push(bytes_of("b")), 0U);
  EXPECT_EQ(ring.size(), 4096U);
  counts.available = SIZE_MAX;
  EXPECT_EQ(ring.push(bytes_of("b")), 1U);
  EXPECT_EQ(text_of(ring.peek(4095, 2)), "ab");
}

RC_GTEST_PROP(Ring, IsAQueueOfBytes, ()) {
  const auto capacity = *rc::gen::inRange<std::size_t>(1, 40);
  Ring ring(std::make_unique<HeapMemory>(capacity));
  std::string model;
  const auto steps = *rc::gen::inRange(1, 60);
  unsigned char next = 0;
  for (int i = 0; i < steps; ++i) {
    if (*rc::gen::arbitrary<bool>()) {
      std::string data(*rc::gen::inRange<std::size_t>(0, 50), ' ');
      for (char& c : data) c = static_cast<char>(next++);
      const std::size_t taken = ring.push(bytes_of(data));
      RC_ASSERT(taken == std::min(data.size(), capacity - model.size()));
      model += data.substr(0, taken);
    } else {
      const auto count = *rc::gen::inRange<std::size_t>(0, model.size() + 1);
      ring.pop(count);
      model.erase(0, count);
    }
    RC_ASSERT(ring.size() == model.size());
    RC_ASSERT(ring.space() == capacity - model.size());
    const auto from = *rc::gen::inRange<std::size_t>(0, model.size() + 1);
    RC_ASSERT(text_of(ring.peek(from, model.size() - from)) == model.substr(from));
  }
}

}  // namespace
}  // namespace sessionfs::test
