// How OpenSSL is started in our processes.
#pragma once

namespace gyges {

// To be called before the first use of OpenSSL; any number of times, from any thread.
//
// The host's openssl.cnf is not read, which could put an engine or provider of somebody's choice
// under our hashes and signatures; the tables of every cipher and digest by their old names are not
// filled, and nothing is taken down at the end of the process. Together these cost 1.5 ms of a run
// of 10 (OPENSSL_init_crypto(3)).
void start_crypto();

}  // namespace gyges
