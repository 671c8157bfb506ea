// The seeds of texts, and of files and records around them.
#include "tests/fuzz/make_corpus.hpp"

namespace sessionfs::fuzz {
namespace {

void make_rule_seeds(Corpus& corpus) {
  corpus.add("access", "rules",
             "file alice@home.test\nallow file alice@*\ndeny * *@evil.example\nallow echo ?ob@work.*\n");
  corpus.add("access", "comments", "echo bob@work.test\n# nobody\n\ndeny echo bob@* # but bob\r\n\tallow * *\n");
  corpus.add("access", "upper_case", "file alice@home.test\nALLOW x y\nallow FILE Alice@HOME.test\n");
  corpus.add("access", "stars", "aaaaaaaa a@b\ndeny *a*a*a*b *\ndeny ?*?*a a@?\nallow a");
  corpus.add("access", "no_question", "\nallow a b c\n");
  corpus.add("policy", "rules", "prefer eth* wlan*\nrequire speed>=1000 family=ipv6\ndeny wwan*\nstay\n");
  corpus.add("policy", "comments", "# a\n\n\tprefer wired wireless # b\r\nrequire family=ipv4");
  corpus.add("policy", "bad", "stay here\nrequire speed>=10000000000\ndeny\nallow x\n");
}

void make_name_seeds(Corpus& corpus) {
  corpus.add("name", "endpoint", "alice@verkstad.net");
  corpus.add("name", "upper_case", "Alice.B_c-d@Verkstad.NET");
  corpus.add("name", "service", "file.alice@verkstad.net");
  corpus.add("name", "label", "file.alice@verkstad.net~second");
  corpus.add("name", "incoming", "file~alice@verkstad.net~1");
  corpus.add("name", "domain", "a-b.c1.example");
  corpus.add("name", "word", "_file-2");
  corpus.add("name", "long", std::string(63, 'o') + "@" + std::string(63, 'd') + "." + std::string(63, 'e') + ".net");
}

void make_ctl_seeds(Corpus& corpus) {
  corpus.add("ctl", "commands", "suspend\nresume file.alice@home.test\nfinish file~bob@work.test~1\nabort x\n");
  corpus.add("ctl", "blanks", "  suspend \t x  # why\r\n\n#nothing\nresume\tx");
  corpus.add("ctl", "join", "join sns1-AAAA\n");
}

void make_config_seeds(Corpus& corpus) {
  corpus.add(
      "config", "whole",
      "domain = \"verkstad.net\"\nendpoint = \"laptop@verkstad.net\"\nlisten = \"[::]:4700\"\nbuffer = \"1MiB\"\n"
      "durability = \"process\"\nsave_grace = \"90s\"\n\n[sns]\n\"verkstad.net\" = \"10.0.0.1:4701\"\n\"example.com\" "
      "= \"host\"\n");
  corpus.add("config", "inline", "buffer = '65536'\nsns = { \"a.b\" = \"[2001:db8::1]\" } # servers\n");
  corpus.add("config", "unknown", "colour = \"red\"\n");
  corpus.add("config", "types", "domain = 1\nlisten = [\"a\"]\n");
  corpus.add("config", "values", "buffer = \"1GiB\"\n");
  corpus.add("config", "broken", "domain = \"\nx");
  corpus.add("config", "multi_line", "domain = \"\"\"\nlocal\"\"\"\n\"a\\u0041\" = 1979-05-27T07:32:00Z\n");
  corpus.add("config", "address", "[::1]:80");
}

void make_state_file_seeds(Corpus& corpus) {
  const auto change = [](int at, std::initializer_list<int> bytes) {
    return joined({at >> 8, at & 255, static_cast<int>(bytes.size())}, joined(bytes, {}));
  };
  corpus.add("state_file", "whole", "");
  corpus.add("state_file", "magic", change(0, {0}));
  corpus.add("state_file", "version", change(7, {3}));
  corpus.add("state_file", "boot", change(16, {1}));
  corpus.add("state_file", "durability", change(32, {1}));
  corpus.add("state_file", "cursor", change(64, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  corpus.add("state_file", "capacity", change(8, {0, 0, 0, 0, 0, 0, 0x20, 0}));
  corpus.add("state_file", "first_slot", change(512 + 40, {1, 2, 3}));
  corpus.add("state_file", "second_slot", change(2048 + 40, {1, 2, 3}));
  corpus.add("state_file", "size", change(512 + 8, {0xff, 0xff, 0xff, 0xff}));
  corpus.add("state_file", "short", change(600, {}));
}

void make_sealed_seeds(Corpus& corpus) {
  corpus.add("sealed", "whole", "");
  corpus.add("sealed", "padded", "ab");
  corpus.add("sealed", "magic", std::string("\0\0\1", 3));
  corpus.add("sealed", "version", std::string("\0\5\1", 3));
  corpus.add("sealed", "cost", std::string("\0\6\1", 3));
  corpus.add("sealed", "size", std::string("\0\x25\x80", 3));
  corpus.add("sealed", "tag", std::string("\0\x50\1", 3));
  corpus.add("sealed", "none", "SFSX");
}

void make_tls_record_seeds(Corpus& corpus) {
  corpus.add("tls_record", "forged", joined({0, 23, 3, 3, 0, 32}, bytes_of("0123456789abcdef0123456789abcdef")));
  corpus.add("tls_record", "handshake", joined({0, 22, 3, 3, 0, 32}, bytes_of("0123456789abcdef")));
  corpus.add("tls_record", "data", joined({24}, bytes_of("content")));
  corpus.add("tls_record", "alert", joined({22, 1, 0}, {}));
  corpus.add("tls_record", "padding", joined({1, 'a', 23, 0, 0, 0}, {}));
  corpus.add("tls_record", "empty", joined({1, 0, 0}, {}));
}

}  // namespace

void make_text_seeds(Corpus& corpus) {
  make_rule_seeds(corpus);
  make_name_seeds(corpus);
  make_ctl_seeds(corpus);
  make_config_seeds(corpus);
  make_state_file_seeds(corpus);
  make_sealed_seeds(corpus);
  make_tls_record_seeds(corpus);
}

}  // namespace sessionfs::fuzz
