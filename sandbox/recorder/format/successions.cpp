#include "sandbox/recorder/format/successions.h"

#include <bit>
#include <cstring>

namespace gyges::recorder {
namespace {

constexpr std::size_t first_places = 1024;

unsigned shift_for(std::size_t places) {
  return 32U - static_cast<unsigned>(std::countr_zero(places));
}

}  // namespace

Successions::Successions()
    : tags_(first_places), places_(first_places), shift_(shift_for(first_places)) {}

void Successions::clear() {
  if (used_ == 0) return;
  tags_.assign(first_places, 0);
  places_.assign(first_places, 0);
  shift_ = shift_for(first_places);
  used_ = count_ = 0;
  next_ = nowhere;
}

std::size_t Successions::lookup(std::uint32_t trail) const {
  const std::size_t first = first_place(trail);
  for (const std::size_t place : {first, first + 1})
    if (tags_[place] == tag_of(trail) && words_at(places_[place])[0] == trail)
      return places_[place];
  return nowhere;
}

void Successions::note(std::uint32_t trail, std::size_t at) {
  const std::uint16_t tag = tag_of(trail);
  const std::size_t first = first_place(trail);
  std::size_t place = first;
  if (tags_[first] != tag) {
    if (tags_[first + 1] == tag || tags_[first] != 0) place = first + 1;
    // Both taken: the newer of them makes room.
  }
  tags_[place] = tag;
  places_[place] = static_cast<std::uint32_t>(at);
}

void Successions::grow() {
  const std::size_t places = tags_.size() * 4;
  tags_.assign(places, 0);
  places_.assign(places, 0);
  shift_ = shift_for(places);
  Succession known;
  for (std::size_t at = 0; at < used_;) {
    const std::uint32_t* const words = words_at(at);
    note(words[0], at);
    at = after(at + unpack(words, known));
  }
}

// Words: the trail, the shape, which steps there are (bits) and how many literals (from bit 8 on),
// the literals, and those steps.
void Successions::put(std::uint32_t trail, const Succession& now) {
  used_ = after(used_);
  if (used_ >= max_words) return;
  if (++count_ * 2 > tags_.size() && tags_.size() < max_places) grow();
  note(trail, used_);
  if (used_ / chunk_words == chunks_.size())
    chunks_.push_back(std::make_unique_for_overwrite<std::uint32_t[]>(chunk_words));
  std::uint32_t* const begin = words_at(used_);
  std::uint32_t* at = begin;
  *at++ = trail;
  *at++ = now.shape;
  std::uint32_t& what = *at++;
  what = 0;
  std::uint32_t literals = 0;
  for (std::uint32_t i = 0; i < now.literals.size(); ++i)
    if (now.literals[i] != no_literal) literals = i + 1;
  for (std::uint32_t i = 0; i < literals; ++i) *at++ = now.literals[i];
  for (std::size_t i = 0; i < now.steps.size(); ++i)
    if (now.steps[i] != 0) {
      what |= 1U << i;
      std::memcpy(at, &now.steps[i], sizeof(now.steps[i]));
      at += 2;
    }
  what |= literals << 8U;
  used_ += static_cast<std::size_t>(at - begin);
}

std::size_t Successions::unpack(const std::uint32_t* words, Succession& found) {
  const std::uint32_t* at = words + 1;
  found.shape = *at++;
  const std::uint32_t what = *at++;
  const std::uint32_t literals = what >> 8U;
  for (std::uint32_t i = 0; i < found.literals.size(); ++i)
    found.literals[i] = i < literals ? *at++ : no_literal;
  for (std::size_t i = 0; i < found.steps.size(); ++i) {
    found.steps[i] = 0;
    if ((what >> i & 1U) == 0) continue;
    std::memcpy(&found.steps[i], at, sizeof(found.steps[i]));
    at += 2;
  }
  return static_cast<std::size_t>(at - words);
}

}  // namespace gyges::recorder
