// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/json.h"
#include "core/quant/format_spec.h"
#include "core/tensor/matrix.h"
#include "core/tensor/tensor.h"

// Golden vectors: numbers that the official LQER and QERA code produced, compared with what the engine's public functions
// produce. A set is a folder with index.json ({"meta", "cases": [...]}) and .npy files.
namespace lqer::golden {

// One entry of index.json. Arrays are read from the folder when asked for and checked against the dtype and shape of the index.
class Case {
public:
    Case(JsonReader entry, std::string folder);

    const std::string &name() const { return m_name; }
    const std::string &function() const { return m_function; }
    bool optional() const;  // extreme values: may be left out

    // The "params" object: case.params()["width"].integer(1, 64), case.params().has("bias"), ...
    const JsonReader &params() const { return m_params; }
    // The "derived" object of scalar results; null JSON if the case has none.
    const Json &derived() const;
    const Json &tolerance() const;

    // Names in the order of the index. An array that the index names with null counts as absent.
    std::vector<std::string> inputNames() const { return namesOf("inputs"); }
    std::vector<std::string> outputNames() const { return namesOf("outputs"); }
    bool hasInput(std::string_view name) const { return find("inputs", name) != nullptr; }
    bool hasOutput(std::string_view name) const { return find("outputs", name) != nullptr; }
    Tensor input(std::string_view name) const { return load("inputs", name); }
    Tensor output(std::string_view name) const { return load("outputs", name); }

private:
    std::vector<std::string> namesOf(std::string_view group) const;
    const Json *find(std::string_view group, std::string_view name) const;
    Tensor load(std::string_view group, std::string_view name) const;

    JsonReader m_entry;
    JsonReader m_params;
    std::string m_folder;
    std::string m_name;
    std::string m_function;
};

// What is wrong with one case; nothing said means it passed.
class Verdict {
public:
    void fail(std::string what) { m_faults.push_back(std::move(what)); }
    bool passed() const { return m_faults.empty(); }
    const std::vector<std::string> &faults() const { return m_faults; }

private:
    std::vector<std::string> m_faults;
};

// |found - expected| <= absolute + relative * |expected|, element by element.
struct Tolerance {
    double relative = 0;
    double absolute = 0;
    bool nanEqual = false;
    // One quantization step of difference, forgiven on at most stepShare of the elements (at least one): the step at a flat
    // index. Unset: nothing is forgiven.
    std::function<double(std::size_t)> step;
    double stepShare = 0.001;
};

// The tolerance that the case states for one output: "<output>": [rtol, atol] if there is such a member, else "rtol" and
// "atol"; "exact" is both zero (0 == -0). Strings like "2e-4*max|y|" are relative to the largest magnitude of `expected`.
Tolerance toleranceOf(const Case &golden, std::string_view output, std::span<const double> expected);
// One entry of a tolerance: a number, or a string as above.
double toleranceValue(const Json &value, std::span<const double> expected, const Case &golden);
// A number of the tolerance object by key ("AB_atol", "mse_rtol"), or the fallback.
double toleranceNumber(const Case &golden, std::string_view key, double fallback);

// Element types converted to double without loss; integer tensors too.
std::vector<double> valuesOf(const Tensor &tensor);
std::vector<double> valuesOf(const ConstMatrixRef &matrix);
std::vector<double> valuesOf(const ConstMatrixF64Ref &matrix);
std::vector<double> valuesOf(std::span<const float> values);
// Values as the tensor's element type would hold them (rounded to nearest even): what the official code returns for
// inputs in half precision.
std::vector<double> roundedTo(DType dtype, std::span<const float> values);

// Compares `found` with the case's output of that name, by the case's tolerance or by a given one.
void compareOutput(const Case &golden, Verdict &verdict, std::string_view output, std::span<const double> found);
void compareOutput(const Case &golden, Verdict &verdict, std::string_view output, std::span<const double> found,
                   const Tolerance &tolerance);
// The same for any expected values; `what` names them in the message.
void compareValues(Verdict &verdict, std::string_view what, std::span<const double> expected, std::span<const double> found,
                   const Tolerance &tolerance);
// A scalar.
void compareNumber(Verdict &verdict, std::string_view what, double expected, double found, double relative, double absolute = 0);
// Largest |found - expected| over the largest |expected|, at most `relative`.
void compareToLargest(Verdict &verdict, std::string_view what, const ConstMatrixF64Ref &expected, const ConstMatrixF64Ref &found,
                      double relative);

// Singular vectors are known up to a sign: flips column j of a and row j of b so that sum_i reference(i, j) a(i, j) >= 0.
void alignSigns(const ConstMatrixF64Ref &reference, MatrixF64 &a, MatrixF64 &b);

// A quantizer table of the params ({"name": "mxint", ...}), with the names that only the golden generator uses translated.
FormatSpec formatOf(const JsonReader &table);

using RunCase = std::function<void(const Case &, Verdict &)>;

// A case is run by the entry with the longest prefix of its "function". An unknown function is a failure.
struct CaseRunner {
    std::string prefix;
    RunCase run;
};

std::vector<CaseRunner> quantizerCases();
std::vector<CaseRunner> reconstructionCases();
std::vector<CaseRunner> evaluationCases();
// All of them.
std::vector<CaseRunner> runners();

}  // namespace lqer::golden
