// Watches what a client says on a connection that is relayed because of a name. It must speak TLS
// or HTTP/1.x, and each name that it gives, the SNI or the Host of every request, must be one that
// the rule names and that the sandbox looked up for this very address. Requests are read by the
// strict reader: what two programs could read differently passes no byte.
//
// TLS hides what comes after the ClientHello: a server that serves several sites may be asked there
// for another one. A second ClientHello, which a server may ask for, is in the clear and must name
// the same. One owner; holds at most what the reader of heads holds, 36 KiB.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/network/http/request_reader.h"
#include "sandbox/network/network_policy.h"

namespace gyges::network {

class NameGuard {
 public:
  // The canonical names that the sandbox was told for the destination, at the time of the call.
  using Names = std::function<std::vector<std::string>()>;

  // Called for each HTTP request that is let through, with each part of its body, and with what
  // else a body in chunks carries; a request for which it says false is refused. What is refused is
  // told as well, unless it was no request at all.
  struct Watch {
    std::function<bool(const RequestHead&)> request;
    std::function<void(std::string_view)> body;
    std::function<void(std::string_view name, std::string_view value)> trailer;
    std::function<void(std::string_view)> extension;
    std::function<void(const RequestHead&, const std::string& reason)> refused;
  };

  // `rule` outlives the guard. With `any_name` it reads and judges the form alone.
  NameGuard(const NetworkRule& rule, std::uint16_t port, Names names, Watch watch,
            bool any_name = false);

  // What may go on to the server now that `bytes` came from the client; empty while more must come
  // or after a refusal. Valid until the next call.
  std::string_view feed(std::string_view bytes);

  // Not empty: why the connection ends.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }
  // Of TLS, for the record; empty otherwise.
  [[nodiscard]] const std::string& sni() const { return sni_; }
  // That the client gave last, and which was right; empty before.
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  enum class Kind { unknown, tls, http };
  std::string_view decide();
  std::string_view read_requests(std::string_view bytes);
  void check_request(RequestHead&& head);
  void judge(const RequestHead& head);
  bool may_mean(const std::string& name, const char* what);
  std::string_view watch_records(std::string_view bytes);
  bool is_other_hello();
  std::string_view refuse(std::string reason);

  const NetworkRule& rule_;
  std::uint16_t port_;
  Names names_;
  bool any_name_;
  Kind kind_ = Kind::unknown;
  std::string held_;
  std::string passed_;
  std::string refusal_;
  std::string sni_;
  std::string name_;
  Watch watch_;
  std::unique_ptr<RequestReader> reader_;
  bool request_ended_ = false;
  std::uint64_t watched_ = 0;  // bytes of TLS after the ClientHello
  std::size_t rest_ = 0;       // of a record that goes on as it comes
};

}  // namespace gyges::network
