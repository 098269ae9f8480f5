// SPDX-License-Identifier: Apache-2.0
#include <QTest>

#include "core/io/json.h"
#include "core/quant/quantizer.h"
#include "tests/quant/sample_weights.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

FormatSpec fromText(const char *json)
{
    const Json value = parseJson(json, "recipe.json");
    return FormatSpec::fromJson(JsonReader(value, "recipe.json"));
}

std::string messageOf(const char *text)
{
    ErrorCode code = ErrorCode::Io;
    const std::string message = errorOf([&] { makeQuantizer(FormatSpec::parse(text)); }, &code);
    return code == ErrorCode::Argument ? message : "not an argument error: " + message;
}

}  // namespace

class TestFormatSpec : public QObject
{
    Q_OBJECT

private slots:
    void textAndJsonComeBack_data()
    {
        QTest::addColumn<QString>("format");
        for (const std::string &spec : sampleFormats())
            QTest::newRow(spec.c_str()) << QString::fromStdString(spec);
    }
    void textAndJsonComeBack()
    {
        const FormatSpec given = FormatSpec::parse(QTest::currentDataTag());
        for (const FormatSpec &spec : {given, withDefaults(given)}) {
            QCOMPARE(FormatSpec::parse(spec.toString()), spec);
            QCOMPARE(withDefaults(fromText(spec.toJson().dump().c_str())), withDefaults(spec));
            QCOMPARE(withDefaults(FormatSpec::parse(shortName(spec))), withDefaults(spec));
        }
        QCOMPARE(makeQuantizer(given)->spec(), withDefaults(given));
        QCOMPARE(withDefaults(withDefaults(given)), withDefaults(given));
    }

    void everyParameterHasAUsableDescription()
    {
        for (const FormatInfo &format : formats()) {
            QVERIFY(findFormat(format.name) == &format);
            QVERIFY(!format.title.empty() && !format.meaning.empty());
            for (const FormatParameter &parameter : format.parameters) {
                QVERIFY2(!parameter.meaning.empty(), parameter.name.c_str());
                const bool choice = parameter.kind == FormatParameterKind::Choice;
                QCOMPARE(choice, !parameter.choices.empty());
                QVERIFY(parameter.kind == FormatParameterKind::Boolean || choice || parameter.least < parameter.most);
            }
            for (const auto &[name, spec] : format.presets) {
                QCOMPARE(spec.name, format.name);
                QVERIFY2(findFormat(name) == nullptr, name.c_str());  // a preset never hides a format
                QCOMPARE(FormatSpec::parse(name), spec);
                QCOMPARE(shortName(spec), name);
            }
        }
        QVERIFY(findFormat("no such format") == nullptr);
    }

    void namesOfThePapersAreUnderstood()
    {
        QCOMPARE(FormatSpec::parse("bypass"), FormatSpec());
        QCOMPARE(fromText(R"({"name": "bypass", "width": 8, "anything": "goes"})"), FormatSpec());
        QCOMPARE(fromText(R"({"name": "mxint", "width": 4, "block_size": 32, "block_axis": -1})"),
                 FormatSpec::parse("mxint:width=4,block_size=32,block_axis=-1"));
        for (const char *bias : {"null", "\"NA\"", "\"none\"", "\"None\""}) {
            const std::string table = std::string(R"({"name": "block_fp", "width": 8, "exponent_width": 8, "exponent_bias": )")
                + bias + R"(, "block_size": [1, 16], "skip_first_dim": true})";
            QCOMPARE(
                withDefaults(fromText(table.c_str())), withDefaults(FormatSpec::parse("block_fp:width=8,skip_first_dim=true")));
        }
        QCOMPARE(fromText(R"({"name": "block_fp", "block_size": 16})"), FormatSpec::parse("block_fp:block_size=16"));
        QCOMPARE(fromText(R"({"name": "integer", "width": 8, "frac_width": 4, "is_signed": true})").name, std::string("fixed"));
        QCOMPARE(fromText(R"({"name": "integer", "width": 8})"), FormatSpec::parse("integer:n_bits=8"));
        QCOMPARE(FormatSpec::parse("minifloat_denorm:width=6"), FormatSpec::parse("minifloat:variant=denorm,width=6"));
        QCOMPARE(fromText(R"("mxint4")"), FormatSpec::parse("mxint4"));
    }

    void presetsTakeMoreParameters()
    {
        QCOMPARE(FormatSpec::parse("mxint4:block_size=16"), FormatSpec::parse("mxint:width=4,block_size=16"));
        QCOMPARE(shortName(FormatSpec::parse("mxint:width=4,block_size=32,block_axis=-1")), std::string("mxint4"));
        QCOMPARE(shortName(FormatSpec::parse("mxint:width=5")), std::string("mxint:width=5"));
        QCOMPARE(shortName(FormatSpec()), std::string("passthrough"));
    }

    void unknownNamesSuggestTheNearest()
    {
        QCOMPARE(messageOf("block_pf"), std::string("unknown number format 'block_pf' (did you mean block_fp?)"));
        QCOMPARE(messageOf("mxint44"), std::string("unknown number format 'mxint44' (did you mean mxint4?)"));
        QCOMPARE(messageOf("mxint:widh=4"), std::string("mxint has no parameter 'widh' (did you mean width?)"));
        QCOMPARE(messageOf("normalfloat:table=norml"),
                 std::string("normalfloat: table is 'norml', expected one of normal, uniform (did you mean normal?)"));
    }

    void valuesOutOfRangeAreErrors_data()
    {
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("message");
        const auto row = [](const char *text, const char *message) { QTest::newRow(text) << text << message; };
        row("mxint:width=9", "mxint: width is 9, expected 2 to 8");
        row("mxint:width=four", "mxint: width is not an integer");
        row("mxint:width=4.5", "mxint: width is not an integer");
        row("mxint:block_size=0", "mxint: block_size is 0, expected 1 to 1048576");
        row("mxint:block_size=1x32", "mxint: block_size is not an integer");
        row("mxint:width", "number format 'mxint:width': expected name=value, found 'width'");
        row("mxint:", "number format 'mxint:': expected name=value, found ''");
        row("mxint:width=4,width=5", "number format 'mxint:width=4,width=5': width is given twice");
        row("", "unknown number format ''");
        row("block_fp:skip_first_dim=maybe", "block_fp: skip_first_dim is not true or false");
        row("block_fp:block_size=1x0", "block_fp: block_size has the extent 0, expected -1 or 1 to 1048576");
        row("block_fp:block_size=1x", "block_fp: block_size is not a list of one to eight extents");
        row("normalfloat:num_bits=2,kernel=bnb", "normalfloat: the bnb kernel exists for num_bits=4 and table=normal only");
        row("minifloat:width=4,exponent_width=4", "minifloat: width 4 has no room for a sign and an exponent of 4 bits");
        row("integer:fp_min=1", "integer: fp_min and fp_max are given together or not at all");
        row("integer:fp_min=1,fp_max=1,is_affine=true", "integer: fp_max 1 is not above fp_min 1");
        row("integer:fp_min=inf,fp_max=1", "integer: fp_min is not a finite number");
    }
    void valuesOutOfRangeAreErrors()
    {
        QFETCH(QString, text);
        QFETCH(QString, message);
        QCOMPARE(messageOf(text.toUtf8()), message.toStdString());
    }

    void jsonErrorsNameTheFile()
    {
        ErrorCode code = ErrorCode::Io;
        const std::string message = errorOf([] { fromText(R"({"name": "mxint", "width": 99})"); }, &code);
        QVERIFY(code == ErrorCode::Format);
        QVERIFY2(message.starts_with("recipe.json") && message.find("width is 99") != std::string::npos, message.c_str());
        QVERIFY(!errorOf([] { fromText(R"({"name": "mxint", "width": {"a": 1}})"); }).empty());
        QVERIFY(!errorOf([] { fromText(R"({"width": 4})"); }).empty());
        QVERIFY(!errorOf([] { fromText("3"); }).empty());
        QVERIFY(!errorOf([] { fromText(R"({"name": "block_fp", "block_size": [1, "x"]})"); }).empty());
    }
};

QTEST_GUILESS_MAIN(TestFormatSpec)
#include "tst_format_spec.moc"
