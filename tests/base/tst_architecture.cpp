// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/support/shared_data.h"

using namespace lqer;
namespace fs = std::filesystem;

namespace {

// Whom each folder of core/ may include. Source: design.md, "Arrows point one way".
const std::map<std::string, std::set<std::string>> &arrows()
{
    static const std::map<std::string, std::set<std::string>> closed = [] {
        // Layers from the top; a folder may include everything in lower layers.
        const std::vector<std::vector<std::string>> layers{
            {"pipeline"}, {"engine"}, {"import"}, {"export"}, {"project", "eval"}, {"recon", "recipe"}, {"calib", "quant"}, {"model", "text"},
            {"linalg", "io"}, {"tensor", "task"}, {"base"},
        };
        std::map<std::string, std::set<std::string>> all;
        std::set<std::string> lower;
        for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
            for (const std::string &folder : *layer) {
                all[folder] = lower;
                all[folder].insert(folder);
            }
            lower.insert(layer->begin(), layer->end());
        }
        // Within a layer, in one direction: a forward pass takes token windows, a plan names the parts it plans.
        all["model"].insert("text");
        all["recipe"].insert("recon");
        return all;
    }();
    return closed;
}

struct Include {
    fs::path file;  // relative to the source tree
    int line = 0;
    std::string target;
};

std::vector<fs::path> sourceFiles(const std::vector<std::string> &folders)
{
    std::vector<fs::path> files;
    const fs::path root = test::sourcePath("");
    for (const std::string &folder : folders) {
        if (!fs::is_directory(root / folder))
            continue;
        for (const fs::directory_entry &entry : fs::recursive_directory_iterator(root / folder))
            if (entry.is_regular_file())
                files.push_back(fs::relative(entry.path(), root));
    }
    std::sort(files.begin(), files.end());
    return files;
}

bool isCode(const fs::path &file)
{
    return file.extension() == ".h" || file.extension() == ".cpp" || file.extension() == ".c";
}

std::vector<std::string> linesOf(const fs::path &file)
{
    std::ifstream stream(test::sourcePath(file.string()));
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);)
        lines.push_back(line);
    return lines;
}

std::vector<Include> includesIn(const std::vector<std::string> &folders)
{
    std::vector<Include> includes;
    for (const fs::path &file : sourceFiles(folders)) {
        if (!isCode(file))
            continue;
        int number = 0;
        for (const std::string &line : linesOf(file)) {
            ++number;
            const std::size_t hash = line.find_first_not_of(" \t");
            if (hash == std::string::npos || line.compare(hash, 8, "#include") != 0)
                continue;
            const std::size_t begin = line.find_first_of("<\"", hash);
            const std::size_t end = line.find_first_of(">\"", begin + 1);
            if (begin != std::string::npos && end != std::string::npos)
                includes.push_back({file, number, line.substr(begin + 1, end - begin - 1)});
        }
    }
    return includes;
}

// "core/io/json.h" -> "io"; "" if it is not a file of core.
std::string coreFolder(const fs::path &path)
{
    auto part = path.begin();
    if (part == path.end() || *part != "core" || ++part == path.end())
        return {};
    return std::next(part) == path.end() ? std::string() : part->string();
}

std::string describe(const Include &include)
{
    return include.file.string() + ":" + std::to_string(include.line) + " includes " + include.target;
}

void failIfAny(const std::vector<std::string> &faults)
{
    std::string all;
    for (const std::string &fault : faults)
        all += "\n  " + fault;
    QVERIFY2(faults.empty(), all.c_str());
}

}  // namespace

class TestArchitecture : public QObject {
    Q_OBJECT
private slots:
    void theTreeIsFound();
    void everyFolderOfCoreHasItsPlace();
    void arrowsPointDown();
    void linksPointDown();
    void coreKnowsNoScreen();
    void widgetsKnowNeitherFilesNorArchitectures();
    void jsonLibraryStaysInOneFile();
    void everyIncludedFileOfOursExists();
    void everyFileNamesItsLicence();
    void namesOfFilesAvoidEmptyWords();
};

// Guards the other tests against passing because they looked at nothing.
void TestArchitecture::theTreeIsFound()
{
    QVERIFY(sourceFiles({"core"}).size() > 40);
    QVERIFY(includesIn({"core"}).size() > 200);
    QCOMPARE(coreFolder("core/io/json.h"), std::string("io"));
    QVERIFY(!arrows().at("io").contains("model"));
    QVERIFY(arrows().at("model").contains("io"));
}

void TestArchitecture::everyFolderOfCoreHasItsPlace()
{
    std::vector<std::string> faults;
    for (const fs::directory_entry &entry : fs::directory_iterator(test::sourcePath("core")))
        if (entry.is_directory() && !arrows().contains(entry.path().filename().string()))
            faults.push_back(entry.path().filename().string() + " is no folder that design.md names");
    failIfAny(faults);
}

void TestArchitecture::arrowsPointDown()
{
    std::vector<std::string> faults;
    for (const Include &include : includesIn({"core"})) {
        const std::string from = coreFolder(include.file);
        const std::string to = coreFolder(include.target);
        if (!from.empty() && !to.empty() && arrows().contains(from) && !arrows().at(from).contains(to))
            faults.push_back(describe(include));
        if (include.target.starts_with("app/") || include.target.starts_with("widgets/") || include.target.starts_with("tests/"))
            faults.push_back(describe(include));
    }
    failIfAny(faults);
}

// The DEPENDS lines of core/*/CMakeLists.txt follow the same arrows.
void TestArchitecture::linksPointDown()
{
    std::vector<std::string> faults;
    std::size_t links = 0;
    for (const auto &[folder, allowed] : arrows()) {
        std::string text;
        for (const std::string &line : linesOf("core/" + folder + "/CMakeLists.txt"))
            text += line.substr(0, line.find('#')) + ' ';
        for (const char c : {'(', ')'})
            std::replace(text.begin(), text.end(), c, ' ');
        bool inDepends = false;
        for (const QString &word : QString::fromStdString(text).split(' ', Qt::SkipEmptyParts)) {
            if (word == "DEPENDS" || word == "PRIVATE")
                inDepends = true;
            else if (word == "SOURCES")
                inDepends = false;
            else if (const std::string name = word.toStdString(); inDepends && arrows().contains(name)) {
                ++links;
                if (!allowed.contains(name))
                    faults.push_back("core/" + folder + "/CMakeLists.txt links " + name);
            }
        }
    }
    failIfAny(faults);
    QVERIFY(links > 5);
}

void TestArchitecture::coreKnowsNoScreen()
{
    std::vector<std::string> faults;
    for (const Include &include : includesIn({"core", "app/cli"})) {
        const std::string &target = include.target;
        const bool qtClass = target.size() > 1 && target[0] == 'Q' && std::isupper(static_cast<unsigned char>(target[1]));
        if (qtClass || target.starts_with("Qt") || target.starts_with("qt") || target == "qcustomplot.h")
            faults.push_back(describe(include));
    }
    failIfAny(faults);
}

void TestArchitecture::widgetsKnowNeitherFilesNorArchitectures()
{
    std::vector<std::string> faults;
    for (const Include &include : includesIn({"widgets"}))
        if (include.target.starts_with("core/io/") || include.target.starts_with("core/model/architectures/"))
            faults.push_back(describe(include));
    failIfAny(faults);
}

void TestArchitecture::jsonLibraryStaysInOneFile()
{
    std::vector<std::string> faults;
    for (const Include &include : includesIn({"core", "app", "widgets"}))
        if (include.target.starts_with("nlohmann/") && include.file != "core/io/json.cpp")
            faults.push_back(describe(include));
    failIfAny(faults);
}

void TestArchitecture::everyIncludedFileOfOursExists()
{
    std::vector<std::string> faults;
    for (const Include &include : includesIn({"core", "app", "widgets", "tests"})) {
        const std::string top = include.target.substr(0, include.target.find('/'));
        if ((top == "core" || top == "app" || top == "widgets" || top == "tests") && !fs::exists(test::sourcePath(include.target)))
            faults.push_back(describe(include));
    }
    failIfAny(faults);
}

void TestArchitecture::everyFileNamesItsLicence()
{
    std::vector<std::string> faults;
    for (const fs::path &file : sourceFiles({"core", "app", "widgets", "tests", "cmake", "scripts"})) {
        const bool script = file.extension() == ".sh" || file.extension() == ".py" || file.extension() == ".cmake";
        if (!isCode(file) && !script && file.filename() != "CMakeLists.txt")
            continue;
        // What links QCustomPlot is under the GPL, its tests included.
        const std::string path = file.string();
        const bool gpl = path.starts_with("widgets/") || path.starts_with("app/studio/") || path.starts_with("tests/widgets/")
            || path.starts_with("tests/studio/");
        const std::string expected = std::string("SPDX-License-Identifier: ") + (gpl ? "GPL-3.0-or-later" : "Apache-2.0");
        const std::vector<std::string> lines = linesOf(file);
        // A script begins with its interpreter.
        const std::size_t at = !lines.empty() && lines[0].starts_with("#!") ? 1 : 0;
        if (lines.size() <= at || lines[at].find(expected) == std::string::npos)
            faults.push_back(file.string() + " does not begin with " + expected);
    }
    failIfAny(faults);
}

void TestArchitecture::namesOfFilesAvoidEmptyWords()
{
    std::vector<std::string> faults;
    for (const fs::path &file : sourceFiles({"core", "app", "widgets"}))
        for (const char *word : {"manager", "helper", "handler", "util"})
            if (file.filename().string().find(word) != std::string::npos)
                faults.push_back(file.string());
    failIfAny(faults);
}

QTEST_GUILESS_MAIN(TestArchitecture)
#include "tst_architecture.moc"
