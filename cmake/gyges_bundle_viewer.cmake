# cmake -D NPM=... -D FROM=viewer -D TO=DIRECTORY -P: makes TO/dist/report.html. Works on a copy, so
# that the source tree stays clean; packages are installed when package-lock.json has changed.
set(installed ${TO}/installed.json)
file(REMOVE_RECURSE ${TO}/src ${TO}/dist)
foreach(name src index.html package.json package-lock.json tsconfig.json vite.config.js)
  file(COPY ${FROM}/${name} DESTINATION ${TO})
endforeach()

function(npm cure)
  execute_process(COMMAND ${NPM} ${ARGN} WORKING_DIRECTORY ${TO} RESULT_VARIABLE failed
    OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(failed)
    list(JOIN ARGN " " words)
    message(FATAL_ERROR "${said}\nThe report's front end: npm ${words} failed, see above. ${cure}")
  endif()
endfunction()

file(SHA256 ${FROM}/package-lock.json wanted)
set(have "")
if(EXISTS ${installed})
  file(READ ${installed} have)
endif()
if(NOT have STREQUAL wanted)
  file(REMOVE ${installed})
  # Scripts of packages are not run: none of these needs one.
  npm("The first build needs a package registry. Without one, name the page of another build: cmake -DGYGES_VIEWER_PAGE=.../report.html"
    ci --ignore-scripts --no-audit --no-fund --prefer-offline --loglevel=error)
  file(WRITE ${installed} ${wanted})
endif()
npm("Node.js has to be 18 or later." run --silent build)
