// For http_connection.cpp and http_stream.cpp.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "tools/mcp/call_link.h"
#include "tools/mcp/http_connection.h"

namespace gyges::mcp {

// The link of a call to the connection that waits for its answer or, where the revision has
// sessions, to whatever connection takes up the call's stream after it. What it sends is handed to
// the thread of the server.
class HttpLink final : public CallLink, public std::enable_shared_from_this<HttpLink> {
 public:
  // `session` is null where nothing is kept for a connection that breaks.
  HttpLink(std::shared_ptr<OpenQuestions> questions, std::weak_ptr<HttpConnection> connection,
           const std::shared_ptr<HttpSession>& session, boost::asio::any_io_executor executor)
      : CallLink(std::move(questions)),
        connection_(std::move(connection)),
        session_(session),
        executor_(std::move(executor)) {}

  Answer ask(std::string_view method, std::string_view params) override {
    if (!streams) return fault_answer(Code::internal_error, "The client takes no streams.");
    return CallLink::ask(method, params);
  }

  void end_stream() override {
    if (!may_begin_early) return;
    boost::asio::post(executor_, [self = shared_from_this()] { self->begin_early(true); });
  }

  // The rest by the thread of the server.

  // To the stream, which is begun with it; nowhere where there is no client to begin one for.
  void deliver(std::string message);
  // The answer. `plain_status` is its HTTP status where no stream has begun.
  void finish(std::string message, unsigned plain_status);
  // Begins the stream before there is anything to say, so that a client whose connection breaks can
  // ask for the answer; `end`: and breaks it itself.
  void begin_early(bool end = false);

  // Set before the call begins.
  std::string id;  // of the request, JSON text
  bool streams = false;
  bool may_begin_early = false;
  std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();

 protected:
  void send(std::string text) override {
    if (!streams) return;
    boost::asio::post(executor_, [self = shared_from_this(), text = std::move(text)]() mutable {
      self->deliver(std::move(text));
    });
  }

 private:
  std::weak_ptr<HttpConnection> connection_;
  std::weak_ptr<HttpSession> session_;
  std::shared_ptr<EventStream> events_;  // null: no stream has begun, or none is kept
  boost::asio::any_io_executor executor_;
};

}  // namespace gyges::mcp
