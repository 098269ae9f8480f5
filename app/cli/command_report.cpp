// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/cost_tables.h"
#include "app/cli/report_tables.h"
#include "app/cli/session.h"
#include "app/cli/text_table.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/eval/format.h"

namespace lqer::cli {

namespace {

using Align = TextTable::Align;
using Reports = std::vector<std::shared_ptr<const EvaluationReport>>;

struct ReportCommand {
    std::string project;
    std::vector<std::size_t> numbers;
    CostOptions cost;
    bool layerCosts = false;
};

// What a report was measured on.
std::string dataCell(const EvaluationReport &report)
{
    std::vector<std::string> parts;
    if (report.perplexity)
        parts.push_back(fmt::format("{}, {} x {}", escaped(report.perplexity->source, 60), report.perplexity->windows, report.perplexity->windowOptions.length));
    if (report.tasks)
        for (const TaskResult &task : report.tasks->tasks)
            parts.push_back(fmt::format("{} {:.4g}", escaped(task.task, 40), task.headline().value));
    return fmt::format("{}", fmt::join(parts, ", "));
}

std::string listTable(const Reports &reports)
{
    TextTable table({{"no."}, {"made", Align::Left}, {"what", Align::Left}, {"bits"}, {"perplexity"}, {"original"}, {"data", Align::Left}});
    for (std::size_t i = 0; i < reports.size(); ++i) {
        const EvaluationReport &report = *reports[i];
        table.addRow({std::to_string(i + 1), escaped(report.created), escaped(report.title, 60),
                      report.footprint ? formatBits(report.footprint->stored.withCorrection) : "",
                      report.perplexity ? formatWithError(report.perplexity->headline(), report.perplexity->standardError) : "",
                      report.original ? formatPerplexity(report.original->headline()) : "",
                      dataCell(report)});
    }
    return table.toString();
}

// What the chosen reports' models cost hardware, the original first. Needs the checkpoint: without it the reason is noted and nothing is said.
std::vector<NamedCost> costsOf(Session &session, const Project &project, const std::vector<NamedReport> &reports, const CostOptions &options)
{
    std::vector<NamedCost> costs;
    try {
        const std::shared_ptr<const LoadedModel> model = session.engine().loadFor(project, session.context());
        const Transformer &transformer = model->transformer();
        for (const NamedReport &named : reports)
            if (named.report->recipe)
                if (auto cost = reportCost(transformer, model->summary().fingerprint, *named.report, options))
                    costs.push_back({named.name, std::move(*cost)});
        if (!costs.empty())
            costs.insert(costs.begin(), {"original", hardwareCost(transformer, {}, footprint(transformer, {}), options)});
    } catch (const Error &error) {
        session.console().note(fmt::format("Without hardware cost, which needs the checkpoint: {}", error.what()));
    }
    return costs;
}

int showReports(Session &session, const ReportCommand &command)
{
    const std::shared_ptr<Project> project = session.engine().openProject(command.project);
    const Reports reports = session.engine().reports(*project);
    Console &console = session.console();
    Json chosen = Json::array(), costList = Json::array();
    if (command.numbers.empty()) {
        console.print(reports.empty() ? std::string("No reports yet: `lqer run` or `lqer evaluate` makes them.\n")
                                      : listTable(reports) + fmt::format("\n`lqer report {} NO...` shows one, or several side by side.\n", escaped(command.project)));
        for (const auto &report : reports)
            chosen.append(report->toJson());
    } else {
        std::vector<NamedReport> named;
        for (const std::size_t number : command.numbers) {
            if (number < 1 || number > reports.size())
                throw Error(ErrorCode::Argument, command.project, "", fmt::format("has reports 1 to {}, not {}", reports.size(), number));
            named.push_back({fmt::format("{} {}", number, shortReportName(*reports[number - 1])), reports[number - 1]});
            chosen.append(reports[number - 1]->toJson());
        }
        for (const NamedReport &entry : named) {
            console.print(fmt::format("{}: {}, {}\n", escaped(entry.name), escaped(entry.report->title), escaped(entry.report->created)));
            if (entry.report->perplexity)
                console.print(fmt::format("  {}\n", dataLine(*entry.report->perplexity)));
            if (entry.report->tasks)
                console.print(fmt::format("  {}\n", tasksLine(*entry.report->tasks)));
        }
        console.print('\n' + layerTable(named) + '\n' + modelTable(named));
        if (const std::string tasks = taskTable(named); !tasks.empty())
            console.print('\n' + tasks);
        const std::vector<NamedCost> costs = costsOf(session, *project, named, command.cost);
        if (!costs.empty())
            console.print('\n' + (command.layerCosts ? layerCostTable(costs) + '\n' : "") + costTable(costs));
        for (const NamedCost &entry : costs)
            costList.append(entry.cost.toJson().set("name", entry.name));
    }
    console.result("report", Json::object().set("project", command.project).set("reports", std::move(chosen)).set("hardware_costs", std::move(costList)));
    return exitOk;
}

}  // namespace

void addReportCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("report", "Show what was measured in a project");
    command->footer("Examples:\n  lqer report demo.lqer\n  lqer report demo.lqer 1 5\n  lqer report demo.lqer 5 --json");
    const auto options = std::make_shared<ReportCommand>();
    command->add_option("project", options->project, "The project's folder")->required()->type_name("PROJECT");
    command->add_option("numbers", options->numbers, "Numbers of reports to show in full, side by side")->type_name("NO");
    command->add_option("--tokens", options->cost.tokens, "Hardware cost: tokens that share one reading of the weights (1: decoding one sequence)")
        ->capture_default_str()
        ->type_name("N")
        ->check(CLI::Range(1, 1 << 24));
    command->add_option("--context", options->cost.context, "Hardware cost: tokens that each token attends to (0: as many as the model has positions)")
        ->type_name("N")
        ->check(CLI::Range(0, 1 << 24));
    command->add_flag("--layer-costs", options->layerCosts, "Hardware cost of every layer too");
    command->callback([options, &invocation] { invocation.work = [options](Session &session) { return showReports(session, *options); }; });
}

}  // namespace lqer::cli
