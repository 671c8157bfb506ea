// The members of a domain and the tokens by which they have come.
#include <algorithm>

#include "sns/join_token.hpp"
#include "sns/sqlite.hpp"
#include "sns/storage.hpp"
#include "sns/storage_values.hpp"

namespace sessionfs::sns {
namespace {

std::int64_t count(sqlite3* database, std::string_view sql) {
  Statement query(database, sql);
  query.step();
  return query.integer(0);
}

// Within the caller's transaction.
MemberId find_or_add_member(sqlite3* database, const PublicKey& key, UnixTime now) {
  const std::span<const std::byte> key_bytes(key);
  Statement known(database, "SELECT id FROM members WHERE public_key = ?");
  if (known.bind(key_bytes).step()) return static_cast<MemberId>(known.integer(0));
  if (count(database, "SELECT count(*) FROM members") >= static_cast<std::int64_t>(max_members)) return 0;
  Statement(database, "INSERT INTO members (public_key, joined) VALUES (?, ?)")
      .bind(key_bytes)
      .bind(to_seconds(now))
      .run();
  return static_cast<MemberId>(sqlite3_last_insert_rowid(database));
}

}  // namespace

bool Storage::add_token(const Secret& secret, UnixTime expires, UnixTime now) {
  const auto hashed = hash(secret);
  Transaction transaction(database_.get());
  Statement(database_.get(), "DELETE FROM tokens WHERE expires < ?").bind(to_seconds(now - spent_token_kept)).run();
  if (count(database_.get(), "SELECT count(*) FROM tokens") >= static_cast<std::int64_t>(max_tokens)) return false;
  Statement(database_.get(), "INSERT INTO tokens (secret_hash, expires) VALUES (?, ?)")
      .bind(std::span<const std::byte>(hashed))
      .bind(to_seconds(expires))
      .run();
  transaction.commit();
  return true;
}

Storage::Redeemed Storage::redeem(const Secret& secret, const PublicKey& key, UnixTime now) {
  const auto hashed = hash(secret);
  const std::span<const std::byte> hash_bytes(hashed);
  Transaction transaction(database_.get());
  {
    Statement token(database_.get(),
                    "SELECT tokens.expires, tokens.member, members.public_key FROM tokens"
                    " LEFT JOIN members ON members.id = tokens.member WHERE secret_hash = ?");
    if (!token.bind(hash_bytes).step()) return {Status::token_unknown, 0};
    if (!token.is_null(1)) {
      // Its own user asks again when the first answer was lost on its way.
      if (!std::ranges::equal(token.bytes(2), key)) return {Status::token_used, 0};
      return {Status::ok, static_cast<MemberId>(token.integer(1))};
    }
    if (token.integer(0) <= to_seconds(now)) return {Status::token_expired, 0};
  }
  const MemberId id = find_or_add_member(database_.get(), key, now);
  if (id == 0) return {Status::limit, 0};
  Statement(database_.get(), "UPDATE tokens SET used = ?, member = ? WHERE secret_hash = ?")
      .bind(to_seconds(now))
      .bind(static_cast<std::int64_t>(id))
      .bind(hash_bytes)
      .run();
  transaction.commit();
  return {Status::ok, id};
}

MemberId Storage::admit(const PublicKey& key, UnixTime now) {
  Transaction transaction(database_.get());
  const MemberId id = find_or_add_member(database_.get(), key, now);
  transaction.commit();
  return id;
}

Storage::Member Storage::member(MemberId id) const {
  Statement query(database_.get(), "SELECT public_key, revoked FROM members WHERE id = ?");
  if (!query.bind(static_cast<std::int64_t>(id)).step()) return {};
  return {query.is_null(1) ? Status::ok : Status::revoked, fixed<sizeof(PublicKey)>(query.bytes(0))};
}

std::vector<StoredMember> Storage::members() const {
  std::vector<StoredMember> out;
  Statement query(database_.get(), "SELECT id, public_key, joined, revoked FROM members ORDER BY id");
  while (query.step()) {
    out.push_back({static_cast<MemberId>(query.integer(0)), fixed<sizeof(PublicKey)>(query.bytes(1)),
                   time_in(query, 2).value_or(UnixTime()), time_in(query, 3)});
  }
  return out;
}

bool Storage::revoke_member(MemberId id, UnixTime now) {
  return Statement(database_.get(), "UPDATE members SET revoked = coalesce(revoked, ?) WHERE id = ?")
             .bind(to_seconds(now))
             .bind(static_cast<std::int64_t>(id))
             .run() == 1;
}

std::map<MemberId, std::size_t> Storage::endpoint_counts() const {
  std::map<MemberId, std::size_t> counts;
  Statement query(database_.get(), "SELECT member, count(*) FROM endpoints GROUP BY member");
  while (query.step()) counts[static_cast<MemberId>(query.integer(0))] = static_cast<std::size_t>(query.integer(1));
  return counts;
}

std::vector<EndpointName> Storage::endpoints_of(MemberId id, std::size_t limit) const {
  std::vector<EndpointName> names;
  Statement query(database_.get(),
                  "SELECT name FROM endpoints WHERE member = ? AND revoked IS NULL ORDER BY name LIMIT ?");
  query.bind(static_cast<std::int64_t>(id)).bind(static_cast<std::int64_t>(limit));
  while (query.step()) {
    if (auto name = EndpointName::parse(query.text(0))) names.push_back(std::move(*name));
  }
  return names;
}

}  // namespace sessionfs::sns
