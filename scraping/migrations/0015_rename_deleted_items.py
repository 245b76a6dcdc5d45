from django.db import migrations


class Migration(migrations.Migration):
    """Name the items that an import leaves out for what they are: deleted by their authors."""

    dependencies = [("scraping", "0014_text_compression")]

    operations = [
        migrations.RenameField(model_name="dumpimport", old_name="withheld", new_name="deleted")
    ]
