#pragma once

// Of truth_programs.
int structures();
