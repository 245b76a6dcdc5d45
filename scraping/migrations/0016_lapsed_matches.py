from django.db import migrations, models


class Migration(migrations.Migration):
    """Matches that ended after somebody was told of them stay as history."""

    dependencies = [("scraping", "0015_rename_deleted_items")]

    operations = [
        migrations.AddField(
            model_name="botitem",
            name="notified_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="deleted",
            field=models.BigIntegerField(
                default=0,
                help_text="Stored empty or left out, because they are deleted or removed.",
            ),
        ),
        migrations.AlterField(
            model_name="botitem",
            name="state",
            field=models.CharField(
                choices=[
                    ("matched", "Match"),
                    ("pending", "Waits for its score"),
                    ("missed", "Fell short"),
                    ("lapsed", "No longer matches"),
                ],
                db_default="matched",
                default="matched",
                max_length=7,
            ),
        ),
    ]
