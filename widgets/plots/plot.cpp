// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/plot.h"

#include <QBuffer>
#include <QClipboard>
#include <QContextMenuEvent>
#include <QFileDialog>
#include <QFileInfo>
#include <QGuiApplication>
#include <QKeyEvent>
#include <QMenu>
#include <QMessageBox>
#include <QTemporaryDir>
#include <QVBoxLayout>
#include <qcustomplot.h>

#include "core/base/error.h"
#include "core/engine/text_file.h"
#include "widgets/text/number_text.h"
#include "widgets/theme/theme.h"

namespace lqer {

namespace {

constexpr double pictureScale = 2;  // pixels of a saved picture for one on the screen

}  // namespace

Plot::Plot(QWidget *parent) : QWidget(parent), m_plot(new QCustomPlot(this))
{
    auto *layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(m_plot);
    setFocusPolicy(Qt::StrongFocus);
    m_plot->setFocusPolicy(Qt::NoFocus);
    m_plot->setContextMenuPolicy(Qt::NoContextMenu);
    m_plot->setMouseTracking(true);
    m_plot->installEventFilter(this);
    m_plot->setInteractions(QCP::iRangeDrag | QCP::iRangeZoom);
    // Pens of one pixel keep a frame of thousands of points far below a screen refresh.
    m_plot->setPlottingHint(QCP::phFastPolylines, true);

    m_plot->addLayer(QStringLiteral("marker"), m_plot->layer(QStringLiteral("legend")), QCustomPlot::limAbove);
    m_overlay = m_plot->layer(QStringLiteral("marker"));
    m_overlay->setMode(QCPLayer::lmBuffered);

    m_vertical = new QCPItemLine(m_plot);
    m_vertical->setLayer(m_overlay);
    m_vertical->setVisible(false);
    m_vertical->setSelectable(false);
    m_readout = new QCPItemText(m_plot);
    m_readout->setLayer(m_overlay);
    m_readout->setVisible(false);
    m_readout->setSelectable(false);
    m_readout->setPadding(QMargins(6, 3, 6, 3));
    m_readout->position->setType(QCPItemPosition::ptAbsolute);
    m_message = new QCPItemText(m_plot);
    m_message->setLayer(m_overlay);
    m_message->setVisible(false);
    m_message->setSelectable(false);
    m_message->position->setType(QCPItemPosition::ptAxisRectRatio);
    m_message->position->setCoords(0.5, 0.5);
    m_message->setPositionAlignment(Qt::AlignCenter);
    m_message->setTextAlignment(Qt::AlignHCenter);
    connect(m_plot, &QCustomPlot::afterLayout, this, &Plot::wrapMessage);
    applyColours();
}

void Plot::applyColours()
{
    const Theme &t = theme();
    stylePlot(m_plot);
    m_vertical->setPen(QPen(t.mutedText, 1, Qt::DotLine));
    m_readout->setColor(t.text);
    m_readout->setBrush(t.panel);
    m_readout->setPen(QPen(t.border));
    m_message->setColor(t.mutedText);
}

Plot::~Plot() = default;

void Plot::makeLogarithmic(QCPAxis *axis)
{
    axis->setScaleType(QCPAxis::stLogarithmic);
    axis->setTicker(QSharedPointer<QCPAxisTickerLog>(new QCPAxisTickerLog));
    axis->setNumberFormat(QStringLiteral("gbc"));
    axis->setNumberPrecision(5);
}

void Plot::queueReplot()
{
    m_plot->replot(QCustomPlot::rpQueuedReplot);
}

void Plot::replotOverlay()
{
    m_overlay->replot();
}

QString Plot::csv() const
{
    const std::vector<PlotColumn> data = columns();
    QStringList lines;
    QStringList titles;
    std::size_t rows = 0;
    for (const PlotColumn &column : data) {
        QString title = column.title;
        titles << QLatin1Char('"') + title.replace(QLatin1Char('"'), QLatin1String("\"\"")) + QLatin1Char('"');
        rows = std::max(rows, column.values.size());
    }
    lines << titles.join(QLatin1Char(','));
    for (std::size_t row = 0; row < rows; ++row) {
        QStringList cells;
        for (const PlotColumn &column : data)
            cells << (row < column.values.size() && !std::isnan(column.values[row]) ? QString::number(column.values[row], 'g', 9) : QString());
        lines << cells.join(QLatin1Char(','));
    }
    return lines.join(QLatin1Char('\n')) + QLatin1Char('\n');
}

void Plot::savePng(const QString &path)
{
    QByteArray bytes;
    QBuffer buffer(&bytes);
    buffer.open(QIODevice::WriteOnly);
    if (!m_plot->toPixmap(0, 0, pictureScale).save(&buffer, "PNG"))
        throw Error(ErrorCode::Io, path.toStdString(), {}, "the picture could not be made");
    saveTextFile(path.toStdString(), {bytes.constData(), static_cast<std::size_t>(bytes.size())});
}

void Plot::savePdf(const QString &path)
{
    // The printer writes files only.
    QTemporaryDir folder;
    const QString made = folder.filePath(QStringLiteral("plot.pdf"));
    QFile file(made);
    if (!folder.isValid() || !m_plot->savePdf(made, 0, 0, QCP::epNoCosmetic, QStringLiteral("LQER Studio"), accessibleName()) || !file.open(QIODevice::ReadOnly))
        throw Error(ErrorCode::Io, path.toStdString(), {}, "the document could not be made");
    const QByteArray bytes = file.readAll();
    saveTextFile(path.toStdString(), {bytes.constData(), static_cast<std::size_t>(bytes.size())});
}

void Plot::saveCsv(const QString &path)
{
    saveTextFile(path.toStdString(), csv().toStdString());
}

void Plot::copyImage()
{
    QGuiApplication::clipboard()->setPixmap(m_plot->toPixmap(0, 0, pictureScale));
}

void Plot::copyData()
{
    QGuiApplication::clipboard()->setText(csv());
}

void Plot::setMessage(const QString &message)
{
    m_words = message;
    m_message->setVisible(!message.isEmpty());
    // Axes without data would only show numbers that mean nothing.
    for (QCPAxisRect *rect : m_plot->axisRects()) {
        for (QCPAxis *axis : rect->axes()) {
            axis->setTicks(message.isEmpty());
            axis->setTickLabels(message.isEmpty());
        }
    }
    wrapMessage();
    queueReplot();
}

void Plot::wrapMessage()
{
    const QFontMetrics metrics(m_message->font());
    const int room = m_plot->axisRect()->width() * 9 / 10;
    QStringList lines;
    for (const QString &word : m_words.split(QLatin1Char(' '))) {
        const QString longer = lines.isEmpty() ? word : lines.back() + QLatin1Char(' ') + word;
        if (lines.isEmpty() || metrics.horizontalAdvance(longer) > room)
            lines << word;
        else
            lines.back() = longer;
    }
    m_message->setText(lines.join(QLatin1Char('\n')));
}

QString Plot::suggestedName() const
{
    QString name = accessibleName().isEmpty() ? QStringLiteral("plot") : accessibleName().toLower();
    return name.replace(QLatin1Char(' '), QLatin1Char('-'));
}

void Plot::askAndSave(FileKind kind)
{
    const QString suffix = kind == FileKind::Png ? QStringLiteral("png") : kind == FileKind::Pdf ? QStringLiteral("pdf") : QStringLiteral("csv");
    QString path = QFileDialog::getSaveFileName(this, tr("Save plot"), suggestedName() + QLatin1Char('.') + suffix, QStringLiteral("%1 (*.%2)").arg(suffix.toUpper(), suffix));
    if (path.isEmpty())
        return;
    if (QFileInfo(path).suffix().isEmpty())
        path += QLatin1Char('.') + suffix;
    try {
        kind == FileKind::Png ? savePng(path) : kind == FileKind::Pdf ? savePdf(path) : saveCsv(path);
    } catch (const Error &error) {
        QMessageBox::warning(this, tr("Save plot"), plainHtml(safeText(error.what())));
    }
}

void Plot::contextMenuEvent(QContextMenuEvent *event)
{
    QMenu menu(this);
    menu.addAction(tr("Show everything"), QKeySequence(Qt::Key_Home), this, [this] { resetView(); });
    menu.addSeparator();
    menu.addAction(tr("Copy picture"), this, &Plot::copyImage);
    menu.addAction(tr("Copy numbers"), QKeySequence::Copy, this, &Plot::copyData);
    menu.addSeparator();
    menu.addAction(tr("Save as PNG..."), this, [this] { askAndSave(FileKind::Png); });
    menu.addAction(tr("Save as PDF..."), this, [this] { askAndSave(FileKind::Pdf); });
    menu.addAction(tr("Save numbers as CSV..."), this, [this] { askAndSave(FileKind::Csv); });
    menu.exec(event->globalPos());
}

void Plot::keyPressEvent(QKeyEvent *event)
{
    if (event->key() == Qt::Key_Home && event->modifiers() == Qt::NoModifier)
        resetView();
    else if (event->matches(QKeySequence::Copy))
        copyData();
    else
        QWidget::keyPressEvent(event);
}

void Plot::changeEvent(QEvent *event)
{
    if (event->type() == QEvent::PaletteChange || event->type() == QEvent::FontChange) {
        applyColours();
        restyle();
        queueReplot();
    }
    QWidget::changeEvent(event);
}

bool Plot::eventFilter(QObject *watched, QEvent *event)
{
    if (watched != m_plot)
        return QWidget::eventFilter(watched, event);
    switch (event->type()) {
    case QEvent::MouseButtonPress: {
        auto *mouse = static_cast<QMouseEvent *>(event);
        setFocus(Qt::MouseFocusReason);
        if (mouse->button() == Qt::LeftButton && pressed(mouse->pos())) {
            m_grabbed = true;
            return true;
        }
        break;
    }
    case QEvent::MouseMove: {
        auto *mouse = static_cast<QMouseEvent *>(event);
        if (m_grabbed && moved(mouse->pos())) {
            hideCrosshair();
            return true;
        }
        if (mouse->buttons() == Qt::NoButton) {
            moved(mouse->pos());
            updateCrosshair(mouse->pos());
        }
        break;
    }
    case QEvent::MouseButtonRelease: {
        auto *mouse = static_cast<QMouseEvent *>(event);
        if (m_grabbed && mouse->button() == Qt::LeftButton) {
            m_grabbed = false;
            released(mouse->pos());
            return true;
        }
        break;
    }
    case QEvent::MouseButtonDblClick:
        resetView();
        return true;
    case QEvent::Leave:
        hideCrosshair();
        break;
    default:
        break;
    }
    return QWidget::eventFilter(watched, event);
}

void Plot::updateCrosshair(const QPoint &position)
{
    const QCPAxisRect *rect = m_plot->axisRect();
    const QPointF data(m_plot->xAxis->pixelToCoord(position.x()), m_plot->yAxis->pixelToCoord(position.y()));
    const QString words = rect->rect().contains(position) ? describePosition(data) : QString();
    if (words.isEmpty()) {
        hideCrosshair();
        return;
    }
    m_vertical->start->setType(QCPItemPosition::ptAbsolute);
    m_vertical->end->setType(QCPItemPosition::ptAbsolute);
    m_vertical->start->setCoords(position.x(), rect->top());
    m_vertical->end->setCoords(position.x(), rect->bottom());
    m_vertical->setVisible(true);
    const bool right = position.x() < rect->center().x();
    m_readout->setText(words);
    m_readout->setPositionAlignment((right ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignTop);
    m_readout->position->setCoords(position.x() + (right ? 10 : -10), std::min(position.y() + 12, rect->bottom() - 40));
    m_readout->setVisible(true);
    replotOverlay();
    emit cursorText(words);
}

void Plot::hideCrosshair()
{
    if (!m_readout->visible())
        return;
    m_readout->setVisible(false);
    m_vertical->setVisible(false);
    replotOverlay();
    emit cursorText({});
}

}  // namespace lqer
