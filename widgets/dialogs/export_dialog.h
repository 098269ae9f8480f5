// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDialog>
#include <QTimer>

#include <memory>
#include <vector>

#include "core/export/export_run.h"

class QCheckBox;
class QComboBox;
class QLabel;
class QLineEdit;
class QListWidget;
class QProgressBar;
class QPushButton;
class QStackedWidget;
class QTextBrowser;
class QTreeWidget;
class QVBoxLayout;

namespace lqer {

class ParameterForm;
class PathField;
class Session;

// Writes the model for other programs: which target, whose recipe, where to, and what is wrong with that, before a byte is written. The
// targets, their options and their checks are the engine's own list (exporters()). The window behind stays usable while it runs.
class ExportDialog final : public QDialog {
    Q_OBJECT

public:
    explicit ExportDialog(Session &session, QWidget *parent = nullptr);

    // Where the export would go now.
    QString destination() const;

private:
    QWidget *makeChoices();
    QWidget *makeResult();
    void fillRecipes();
    void chooseTarget();
    void suggestName();
    void ask();                 // for a new forecast, soon
    void showForecast(const ExportForecast &forecast);
    void addProblem(const QString &severity, const QString &place, const QString &message);
    void start();
    void showProgress();
    void showDone(const ExportResult &result);
    void showFailure(const QString &message);
    const Exporter &exporter() const;
    std::shared_ptr<const EvaluationReport> chosenReport() const;  // null: the present recipe
    const QuantizationRecipe &recipe() const;
    ExportRequest request() const;
    // What keeps the destination from being used; "" if nothing does.
    QString destinationProblem() const;

    Session &m_session;
    QStackedWidget *m_pages;
    QListWidget *m_targets;
    QLabel *m_meaning;
    QComboBox *m_recipe;
    PathField *m_parentFolder;
    QLineEdit *m_name;
    QCheckBox *m_overwrite;
    QVBoxLayout *m_optionsPlace;
    ParameterForm *m_form = nullptr;
    ExportOptions m_options;
    QTreeWidget *m_problems;
    QLabel *m_verdict;
    QProgressBar *m_bar;
    QLabel *m_status;
    QPushButton *m_export;
    QPushButton *m_cancel;
    QPushButton *m_close;
    QLabel *m_doneTitle;
    QTextBrowser *m_card;
    QPushButton *m_openFolder;
    QTimer m_askTimer;
    bool m_nameIsOurs = true;   // nobody typed a name yet
    bool m_ready = false;       // nothing found that speaks against it
    QString m_readyWords;
    bool m_exporting = false;   // this dialog started the job that runs
    QString m_written;
    std::vector<std::shared_ptr<const EvaluationReport>> m_reports;  // of the list's entries; null: the present recipe
};

}  // namespace lqer
