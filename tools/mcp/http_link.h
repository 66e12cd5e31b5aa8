// For http_connection.cpp.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <string>

#include "tools/mcp/call_link.h"
#include "tools/mcp/http_connection.h"

namespace gyges::mcp {

// The link of a call to the connection that waits for its answer. What it sends is handed to the
// thread of the server.
class HttpLink final : public CallLink {
 public:
  HttpLink(std::shared_ptr<OpenQuestions> questions, std::weak_ptr<HttpConnection> connection,
           boost::asio::any_io_executor executor)
      : CallLink(std::move(questions)),
        connection_(std::move(connection)),
        executor_(std::move(executor)) {}

  Answer ask(std::string_view method, std::string_view params) override {
    if (!streams) return fault_answer(Code::internal_error, "The client takes no streams.");
    return CallLink::ask(method, params);
  }

  bool streams = false;  // set before the call begins

 protected:
  void send(std::string text) override {
    boost::asio::post(executor_, [to = connection_, text = std::move(text)]() mutable {
      if (auto connection = to.lock()) connection->stream(std::move(text));
    });
  }

 private:
  std::weak_ptr<HttpConnection> connection_;
  boost::asio::any_io_executor executor_;
};

}  // namespace gyges::mcp
