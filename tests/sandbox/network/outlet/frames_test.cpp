#include "sandbox/network/outlet/frames.h"

#include <gtest/gtest.h>

namespace gyges::network {
namespace {

TEST(OutletFrames, AStreamComesApartWhereverItIsCut) {
  std::string stream;
  append_frame(stream, FrameKind::head, 7, "head");
  append_body(stream, 7, std::string(most_body_piece + 1, 'b'));
  append_frame(stream, FrameKind::end, 7, {});
  for (std::size_t piece : {std::size_t{1}, std::size_t{13}, std::size_t{5000}, stream.size()}) {
    FrameReader reader;
    std::vector<std::pair<FrameKind, std::size_t>> seen;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      reader.feed(std::string_view(stream).substr(at, piece));
      for (;;) {
        auto frame = reader.next();
        ASSERT_TRUE(frame) << frame.error().line();
        if (!*frame) break;
        EXPECT_EQ((*frame)->exchange, 7U);
        seen.emplace_back((*frame)->kind, (*frame)->bytes.size());
      }
    }
    EXPECT_EQ(seen,
              (std::vector<std::pair<FrameKind, std::size_t>>{{FrameKind::head, 4},
                                                              {FrameKind::body, most_body_piece},
                                                              {FrameKind::body, 1},
                                                              {FrameKind::end, 0}}));
  }
}

TEST(OutletFrames, RoomIsSaidInBytesAndNeverPastTheWindow) {
  EXPECT_EQ(*decode_more(encode_more(70'000)), 70'000U);
  EXPECT_EQ(*decode_more(encode_more(answer_window * 2)), answer_window);
  EXPECT_FALSE(decode_more("abc"));
}

TEST(OutletFrames, UnknownKindsAndLongFramesAreFaults) {
  for (char kind : {'\0', '\x06', '\xff'}) {
    FrameReader reader;
    reader.feed(std::string(1, kind) + std::string(12, '\0'));
    EXPECT_FALSE(reader.next());
  }
  std::string frame;
  append_frame(frame, FrameKind::body, 1, std::string(most_frame_bytes, 'x'));
  FrameReader fits;
  fits.feed(frame);
  EXPECT_TRUE(fits.next().value());
  std::string longer;
  append_frame(longer, FrameKind::body, 1, std::string(most_frame_bytes + 1, 'x'));
  FrameReader refuses;
  refuses.feed(longer);
  EXPECT_FALSE(refuses.next());
}

TEST(OutletFrames, HeadsComeBackAsTheyWent) {
  OutletRequest request{true,
                        "POST",
                        "api.example",
                        443,
                        "/v1/x?beta=true",
                        {{"X-Api-Key", std::string("a\0b", 3)}, {"Accept", ""}}};
  auto back = decode_request(encode_request(request));
  ASSERT_TRUE(back) << back.error().line();
  EXPECT_TRUE(back->tls);
  EXPECT_EQ(back->host, "api.example");
  EXPECT_EQ(back->port, 443);
  EXPECT_EQ(back->target, request.target);
  EXPECT_EQ(back->headers, request.headers);
  auto response = decode_response(encode_response({429, {{"retry-after", "3"}}}));
  ASSERT_TRUE(response) << response.error().line();
  EXPECT_EQ(response->status, 429);
  EXPECT_EQ(response->headers.size(), 1U);
}

TEST(OutletFrames, DamagedHeadsAreFaults) {
  std::string request = encode_request({false, "GET", "h", 80, "/", {{"a", "b"}}});
  for (std::size_t size = 0; size < request.size(); ++size) {
    auto cut = decode_request(std::string_view(request).substr(0, size));
    // Whole fields may be missing at the end; half of one may not.
    if (cut) {
      EXPECT_TRUE(cut->headers.empty());
    }
  }
  EXPECT_FALSE(decode_request(std::string(4, '\xff')));
  EXPECT_FALSE(decode_response(encode_response({100, {}})));
  EXPECT_FALSE(decode_response(encode_response({600, {}})));
  std::string many;
  for (int i = 0; i < 300; ++i) many.append(4, '\0');
  EXPECT_FALSE(decode_request(many));
}

}  // namespace
}  // namespace gyges::network
