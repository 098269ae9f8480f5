// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <cstring>
#include <limits>
#include <vector>

#include "core/tensor/half.h"
#include "core/tensor/tensor.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

template <typename T>
Tensor tensorOf(DType dtype, const std::vector<T> &values)
{
    Tensor tensor(dtype, {static_cast<std::int64_t>(values.size())});
    std::memcpy(tensor.bytes().data(), values.data(), values.size() * sizeof(T));
    return tensor;
}

std::vector<double> asDoubles(const Tensor &tensor)
{
    std::vector<double> out(static_cast<std::size_t>(tensor.elements()));
    tensor.copyTo(std::span(out));
    return out;
}

}  // namespace

class TestTensor : public QObject {
    Q_OBJECT
private slots:
    void dtypeNamesAndSizesAreThoseOfTheFormat_data();
    void dtypeNamesAndSizesAreThoseOfTheFormat();
    void unknownDtypeNamesAreNotGuessed();
    void elementCountIsTheProduct();
    void impossibleShapesAreErrors();
    void bytesFollowFromTypeAndShape();
    void floatingTypesConvertToFloatAndDouble();
    void integersConvertToDoubleOnly();
    void matricesKeepTheirRows();
    void viewsWithAStrideAreCopiedDensely();
    void otherRanksAreNoMatrix();
    void emptyTensorsWork();
    void nonFiniteValuesAreCounted();
};

void TestTensor::dtypeNamesAndSizesAreThoseOfTheFormat_data()
{
    QTest::addColumn<QString>("name");
    QTest::addColumn<int>("size");
    const std::pair<const char *, int> types[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                                                  {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U64", 8},  {"U32", 4},
                                                  {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    for (const auto &[name, size] : types)
        QTest::newRow(name) << name << size;
}

void TestTensor::dtypeNamesAndSizesAreThoseOfTheFormat()
{
    QFETCH(QString, name);
    QFETCH(int, size);
    const std::optional<DType> dtype = dtypeFromString(name.toStdString());
    QVERIFY(dtype.has_value());
    QCOMPARE(QString::fromStdString(std::string(toString(*dtype))), name);
    QCOMPARE(static_cast<int>(itemSize(*dtype)), size);
}

void TestTensor::unknownDtypeNamesAreNotGuessed()
{
    for (const char *name : {"", "f32", "F12", "F32 ", "float32", "BF8"})
        QVERIFY(!dtypeFromString(name));
}

void TestTensor::elementCountIsTheProduct()
{
    QCOMPARE(elementCount({}), 1);
    QCOMPARE(elementCount({7}), 7);
    QCOMPARE(elementCount({2, 3, 4}), 24);
    QCOMPARE(elementCount({5, 0, 4}), 0);
    QCOMPARE(toString(Shape{4096, 11008}), std::string("4096x11008"));
    QCOMPARE(toString(Shape{}), std::string("scalar"));
}

void TestTensor::impossibleShapesAreErrors()
{
    for (const Shape &shape : {Shape{1LL << 40, 1LL << 40}, Shape{std::numeric_limits<std::int64_t>::max(), 2}, Shape{-1}, Shape{3, -2}}) {
        ErrorCode code = ErrorCode::Io;
        QVERIFY(!test::errorOf([&] { elementCount(shape); }, &code).empty());
        QVERIFY(code == ErrorCode::Shape);
    }
}

void TestTensor::bytesFollowFromTypeAndShape()
{
    QCOMPARE(Tensor(DType::BF16, {3, 5}).bytes().size(), 30U);
    QCOMPARE(Tensor(DType::F64, {}).bytes().size(), 8U);
    QCOMPARE(Tensor(DType::Bool, {0, 5}).bytes().size(), 0U);
}

void TestTensor::floatingTypesConvertToFloatAndDouble()
{
    // All of them exact in every one of the four types.
    const std::vector<double> expected{0.0, -0.0, 1.0, -2.5, 0.15625, 96.0};
    std::vector<float> asFloat(expected.begin(), expected.end());
    std::vector<std::uint16_t> asHalf;
    std::vector<std::uint16_t> asBf16;
    for (const float value : asFloat) {
        asHalf.push_back(floatToHalf(value));
        asBf16.push_back(floatToBf16(value));
    }
    for (const Tensor &tensor : {tensorOf(DType::F64, expected), tensorOf(DType::F32, asFloat), tensorOf(DType::F16, asHalf),
                                 tensorOf(DType::BF16, asBf16)}) {
        QCOMPARE(asDoubles(tensor), expected);
        std::vector<float> out(expected.size());
        tensor.copyTo(std::span(out));
        QCOMPARE(out, asFloat);
        QVERIFY(std::signbit(out[1]));
    }
}

void TestTensor::integersConvertToDoubleOnly()
{
    QCOMPARE(asDoubles(tensorOf<std::int64_t>(DType::I64, {-3, 1LL << 53})), (std::vector<double>{-3, 0x1p53}));
    QCOMPARE(asDoubles(tensorOf<std::int32_t>(DType::I32, {-2147483647 - 1, 5})), (std::vector<double>{-0x1p31, 5}));
    QCOMPARE(asDoubles(tensorOf<std::int16_t>(DType::I16, {-32768})), (std::vector<double>{-32768}));
    QCOMPARE(asDoubles(tensorOf<std::int8_t>(DType::I8, {-128, 127})), (std::vector<double>{-128, 127}));
    QCOMPARE(asDoubles(tensorOf<std::uint64_t>(DType::U64, {1ULL << 63})), (std::vector<double>{0x1p63}));
    QCOMPARE(asDoubles(tensorOf<std::uint32_t>(DType::U32, {4294967295U})), (std::vector<double>{4294967295.0}));
    QCOMPARE(asDoubles(tensorOf<std::uint16_t>(DType::U16, {65535})), (std::vector<double>{65535}));
    QCOMPARE(asDoubles(tensorOf<std::uint8_t>(DType::U8, {255})), (std::vector<double>{255}));
    QCOMPARE(asDoubles(tensorOf<std::uint8_t>(DType::Bool, {0, 1})), (std::vector<double>{0, 1}));

    std::vector<float> floats(1);
    ErrorCode code = ErrorCode::Io;
    const std::string message = test::errorOf([&] { tensorOf<std::int32_t>(DType::I32, {1}).copyTo(std::span(floats)); }, &code);
    QVERIFY(message.find("I32") != std::string::npos);
    QVERIFY(code == ErrorCode::Unsupported);
    QVERIFY(!test::errorOf([&] { asDoubles(Tensor(DType::F8E4M3, {1})); }).empty());
}

void TestTensor::matricesKeepTheirRows()
{
    const Matrix matrix = (Matrix(2, 3) << 1, 2, 3, 4, 5, 6).finished();
    const Tensor tensor = Tensor::fromMatrix(matrix);
    QVERIFY(tensor.dtype() == DType::F32);
    QCOMPARE(tensor.shape(), (Shape{2, 3}));
    QCOMPARE(asDoubles(tensor), (std::vector<double>{1, 2, 3, 4, 5, 6}));
    QVERIFY(tensor.toMatrix() == matrix);
    QVERIFY(tensor.toMatrixF64() == matrix.cast<double>());
    const Tensor wide = Tensor::fromMatrix(MatrixF64(matrix.cast<double>()));
    QVERIFY(wide.dtype() == DType::F64);
    QVERIFY(wide.toMatrix() == matrix);
    const std::vector<float> values{1, 2, 3};
    QCOMPARE(Tensor::fromVector(std::span<const float>(values)).shape(), (Shape{3}));
    QCOMPARE(Tensor::fromVector(std::span<const float>(values)).toMatrix().rows(), 1);
}

void TestTensor::viewsWithAStrideAreCopiedDensely()
{
    Matrix big(3, 4);
    for (Index i = 0; i < big.size(); ++i)
        big.data()[i] = static_cast<float>(i);
    QCOMPARE(asDoubles(Tensor::fromMatrix(ConstMatrixRef(big.block(1, 1, 2, 2)))), (std::vector<double>{5, 6, 9, 10}));
}

void TestTensor::otherRanksAreNoMatrix()
{
    for (const Shape &shape : {Shape{}, Shape{2, 2, 2}}) {
        ErrorCode code = ErrorCode::Io;
        QVERIFY(!test::errorOf([&] { Tensor(DType::F32, shape).toMatrix(); }, &code).empty());
        QVERIFY(code == ErrorCode::Shape);
    }
}

void TestTensor::emptyTensorsWork()
{
    QCOMPARE(Tensor::fromVector(std::span<const float>()).elements(), 0);
    QCOMPARE(Tensor::fromVector(std::span<const double>()).elements(), 0);
    QCOMPARE(Tensor::fromMatrix(Matrix(0, 3)).shape(), (Shape{0, 3}));
    QCOMPARE(Tensor(DType::BF16, {0, 3}).toMatrix().cols(), 3);
}

void TestTensor::nonFiniteValuesAreCounted()
{
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> values{0, std::numeric_limits<float>::max(), -infinity, std::numeric_limits<float>::denorm_min(), nan, infinity};
    std::size_t first = 99;
    QCOMPARE(countNonFinite(values, &first), 3U);
    QCOMPARE(first, 2U);
    QCOMPARE(countNonFinite(std::span(values).first(2), &first), 0U);
    QCOMPARE(countNonFinite({}), 0U);
    std::vector<float> many(200'000, infinity);
    std::fill_n(many.begin(), 70'001, 1.0F);
    QCOMPARE(countNonFinite(many, &first), 129'999U);
    QCOMPARE(first, 70'001U);
}

QTEST_GUILESS_MAIN(TestTensor)
#include "tst_tensor.moc"
